"""A network's layers as JSON, looked at before any of it is built: what it may name, and no more.

Keras builds whatever class of whatever module a description names, and its safe mode has been got
round before (CVE-2025-1550, CVE-2025-8747): so the names are read first. Knows nothing of weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import keras

from tl_cli.errors import TLError

# where classes may come from: Keras' and KerasHub's parts of networks, none of their tools
ALLOWED = re.compile(
    r"keras(\.src)?(\.(layers|models|ops|initializers|regularizers|constraints|activations|"
    r"dtype_policies|random)(\.[a-z0-9_.]+)?)?|keras_hub(\.src)?\.(models|layers)(\.[a-z0-9_.]+)?"
)
# which run what they are given, or load it from elsewhere
REFUSED = {
    "Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__",
    "__typespec__",
}  # fmt: skip
LEFT_OUT = ("compile_config",)  # a loss and an optimizer, which are not wanted
DEEPEST = 200
# what a layer says of itself and does not take back: KerasHub 0.32 cannot open its own file of it
SAID_IN_VAIN = {
    "ViTPatchingAndEmbedding": ("num_patches", "num_positions"),
    "ViTEncoderBlock": ("key_dim",),
}


def checked(description: Any, whence: str) -> dict[str, Any]:
    """Return a model's description without what is not wanted of it.

    Raises TLError where it names anything but layers of Keras and KerasHub, or what runs code.
    """
    for part in _objects(description, whence):
        name, module = part.get("class_name"), part.get("module")
        if isinstance(name, str) and name in REFUSED:
            raise _refused(whence, f"a {str(name).strip('_')} layer, which runs code of its own")
        if not isinstance(name, str) or name.startswith("__") or "config" not in part:
            continue
        if not (isinstance(module, str) and ALLOWED.fullmatch(module)):
            named = part["config"] if name == "function" else name
            raise _refused(whence, f"'{named}', which is no part of Keras")
    if not isinstance(description, dict):
        raise _refused(whence, "something that is no description of a model")
    return {key: value for key, value in description.items() if key not in LEFT_OUT}


def _refused(whence: str, what: str) -> TLError:
    return TLError(
        f"{whence} holds {what}: it is not opened",
        "save a functional model that is made of Keras' own layers",
    )


def _objects(value: Any, whence: str) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping in a description, without recursion: it may be nested without end."""
    waiting = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > DEEPEST:
            raise _refused(whence, "layers in layers without end")
        if isinstance(part, dict):
            yield part
            waiting += [(inner, depth + 1) for key, inner in part.items() if key not in LEFT_OUT]
        elif isinstance(part, list):
            waiting += [(inner, depth + 1) for inner in part]


def mend(model: keras.Model) -> None:
    """Let each layer of a network describe itself as it can be built from."""
    for layer in model.layers:
        names = SAID_IN_VAIN.get(type(layer).__name__)
        if names:
            layer.get_config = partial(_without, type(layer).get_config, layer, names)


def _without(describe: Callable[[Any], dict[str, Any]], layer: Any, names: Any) -> dict[str, Any]:
    return {key: value for key, value in describe(layer).items() if key not in names}


def of(model: keras.Model) -> dict[str, Any]:
    """Return the description of a functional model, as `built` takes it."""
    return dict(json.loads(model.to_json()))


def built(description: Any, whence: str) -> keras.Model:
    """Return the network of a description with random weights, in the precision now in use.

    Raises TLError as `checked`, and where no network comes of it.
    """
    described = _in_precision(checked(description, whence), keras.config.dtype_policy().name)
    try:
        model = keras.saving.deserialize_keras_object(described, safe_mode=True)
        if not isinstance(model, keras.Model):
            raise TypeError("it describes no model")
    except Exception as error:  # whatever a damaged description makes Keras raise
        first = str(error).strip().split("\n")[0]
        raise TLError(f"the network of {whence} cannot be built: {first}") from error
    mend(model)
    return model


def _in_precision(value: Any, policy: str) -> Any:
    """Return a description whose layers compute as this process does, not as the one that saved."""
    if isinstance(value, dict):
        if value.get("class_name") == "DTypePolicy" and isinstance(value.get("config"), dict):
            return {**value, "config": {**value["config"], "name": policy}}
        return {key: _in_precision(inner, policy) for key, inner in value.items()}
    return [_in_precision(inner, policy) for inner in value] if isinstance(value, list) else value
