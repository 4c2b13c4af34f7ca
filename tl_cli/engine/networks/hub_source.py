"""Networks of KerasHub: a preset by name, a local folder, hf:// and kaggle://.

Image backbones alone. One layer of a vision transformer holds its whole encoder; here each of its
layers becomes one of the network, so that there are places to cut between them. Knows nothing of
plans and heads.
"""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from tl_cli.cards import places
from tl_cli.cards.card import PRETRAINED, Card
from tl_cli.catalog import PREPROCESSING
from tl_cli.engine.networks import architecture, hugging_face
from tl_cli.engine.networks.nodes import Node, clone_subgraph, flatten_nested, nodes_of
from tl_cli.engine.networks.weights_file import load_weights
from tl_cli.errors import TLError
from tl_cli.quiet import quiet


def build(
    card: Card, inputs: keras.KerasTensor, x: keras.KerasTensor, weights: str | None
) -> keras.Model:
    """Return the network from the image to its last map.

    `x`: the images as `card.preprocessing` says, or raw where it says nothing: then as the preset
    says. Raises TLError where there is no such preset, no network, or no image backbone.
    """
    places.check(card)
    hub = _keras_hub()
    with _asked(card):
        network = _backbone(card, inputs.shape[1], pretrained=weights == PRETRAINED)
        if not card.preprocessing:
            x = _converted(hub, card, x)
    if weights and weights != PRETRAINED:
        load_weights(network, Path(weights))
    model = keras.Model(inputs, _as_map(_unrolled(network, x)), name="hub")
    architecture.mend(model)
    return model


def save_preset(card: Card, folder: Path) -> None:
    """Write a preset, its weights and how it takes its images, into a folder that is made.

    Raises TLError as `build`.
    """
    places.check(card)
    hub = _keras_hub()
    with _asked(card):
        hub.models.Backbone.from_preset(_preset(card)).save_to_preset(str(folder))
        with contextlib.suppress(ValueError, FileNotFoundError, KeyError):
            hub.layers.ImageConverter.from_preset(_preset(card)).save_to_preset(str(folder))


def _keras_hub() -> Any:
    try:
        with quiet():
            import keras_hub
    except ImportError as error:
        raise TLError("KerasHub is not installed", "pip install 'tl-cli[hub]'") from error
    return keras_hub


@contextlib.contextmanager
def _asked(card: Card) -> Iterator[None]:
    """Have KerasHub asked for a preset: in silence, and its errors told in one sentence.

    Converters print each layer.
    """
    silent = contextlib.redirect_stdout(io.StringIO())
    with _told(card), quiet(), silent, hugging_face.reached(card.place):
        yield


def _preset(card: Card) -> str:
    """Return what KerasHub knows the place by; a folder as a path that cannot be a name."""
    if places.is_folder(card):
        return str(Path(card.place).expanduser().absolute())
    return card.place


def _backbone(card: Card, size: int, *, pretrained: bool) -> keras.Model:
    """Load a preset for images of one size, in the precision now in use."""
    from keras_hub.src.utils.preset_utils import get_preset_loader

    loader = get_preset_loader(_preset(card))
    kind = loader.check_backbone_class()
    takes = inspect.signature(kind.__init__).parameters
    shape = next((name for name in ("image_shape", "input_shape") if name in takes), None)
    if not shape:
        raise TLError(
            f"{card.name} is {kind.__name__}, no image backbone",
            "choose one of keras.io/keras_hub/presets that takes images",
        )
    stated, fixed = places.size_in(loader.config)
    interpolates = kind.__name__.startswith("DINO")  # its table of positions, or it has none
    if fixed and stated != size:
        raise TLError(
            f"{card.name} takes images of {stated} px alone, not of {size}",
            f"--image-size {stated}",
        )
    changed = {shape: (size, size, 3)} if interpolates or stated else {}
    return kind.from_preset(
        _preset(card), load_weights=pretrained, dtype=keras.config.dtype_policy(), **changed
    )


def _converted(hub: Any, card: Card, x: keras.KerasTensor) -> keras.KerasTensor:
    """Return raw images as the preset's own converter scales them."""
    try:
        converter = hub.layers.ImageConverter.from_preset(_preset(card))
    except (ValueError, FileNotFoundError, KeyError) as error:
        raise no_preprocessing(card) from error
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return keras.layers.Rescaling(scale, offset, name="preprocessing")(x)


def no_preprocessing(card: Card) -> TLError:
    """Return what is said where nobody knows what a network was trained on."""
    return TLError(
        f"how {card.name} takes its images is written nowhere",
        f"state it: --preprocessing {', '.join(PREPROCESSING)}",
    )


ENCODERS = ("ViTEncoder", "DINOV2Encoder", "DINOV3Encoder")  # whose layers map tokens to tokens


# == blocks of transformer layers ==================================================================


def _unrolled(network: keras.Model, x: keras.KerasTensor) -> keras.KerasTensor:
    """Call the network on `x`, each layer of an encoder by itself."""
    net = flatten_nested(network)
    if len(net.inputs) != 1:
        raise TLError(f"{network.name} takes more than images", "choose an image backbone")
    values: dict[int, Any] = {id(net.inputs[0]): x}
    for node in nodes_of(net):
        _call(node, values, tuple(x.shape))
    return values[id(net.outputs[0])]


def _call(node: Node, values: dict[int, Any], shape: tuple[int, ...]) -> None:
    """Call what one node calls; the tensors it makes are put into `values`."""
    operation = node.operation
    kind = type(operation).__name__
    if kind == "DINOV3RopePositionEmbedding":  # of the size alone, so once and for all images
        made = operation(keras.ops.zeros((1, *shape[1:])))
        constants = [keras.ops.convert_to_numpy(part) for part in made]
        values |= zip(map(id, node.outputs), constants, strict=True)
        return
    layers = getattr(operation, "encoder_layers", None) or getattr(operation, "layers", None)
    if kind not in ENCODERS or not layers:
        clone_subgraph([node], values)
        return
    args, kwargs = node.arguments.fill_in(values)
    y = args[0]
    for layer in layers:
        y = layer(y, **kwargs)
    norm = getattr(operation, "layer_norm", None)
    # of several outputs, the first is the last layer's, and the others are of no use here
    values[id(node.outputs[0])] = norm(y) if norm is not None else y


def _as_map(y: keras.KerasTensor) -> keras.KerasTensor:
    """Return tokens [b, n, c] as a map [b, side, side, 2 c]: the patches', and the class token's.

    What stands before the patches is not of any place. The first of it, the class token, is put
    beside each patch, so that the mean over the map is the mean of the patches and the token: what
    DINOv2 is used by (arXiv:2304.07193). A map stays what it is.
    """
    if len(y.shape) != 3:
        return y
    tokens, channels = y.shape[1:]
    side = int(tokens**0.5)
    before = tokens - side * side
    patches = keras.layers.Cropping1D((before, 0), name="patches")(y) if before else y
    grid = keras.layers.Reshape((side, side, channels), name="patch_map")(patches)
    if not before:
        return grid
    first = keras.layers.Cropping1D((0, tokens - 1), name="class_token")(y)
    spot = keras.layers.Reshape((1, 1, channels), name="class_spot")(first)
    everywhere = keras.layers.UpSampling2D(side, name="class_map")(spot)
    return keras.layers.Concatenate(name="features")([grid, everywhere])


# == what can go wrong =============================================================================


@contextlib.contextmanager
def _told(card: Card) -> Iterator[None]:
    """Say in one sentence what KerasHub says in many ways: no network, no such preset."""
    try:
        yield
    except TLError:
        raise
    except Exception as error:
        chain = list(_causes(error))
        text = " ".join(" ".join(str(e).split()) for e in chain)
        if any(offline(e) for e in chain) or any(word in text for word in NO_NETWORK):
            raise TLError(
                f"{card.name} could not be downloaded (no network?)",
                "on a machine with a network: tl backbones --fetch "
                f"{card.name} --to DIR; copy DIR here and give --backbone hub:DIR",
            ) from error
        if any(type(e).__name__ in hugging_face.REFUSALS for e in chain):
            raise TLError(
                f"there is no {card.name} on Hugging Face, or it is not open to everybody",
                "check the name; of one that is gated accept the terms there, and set HF_TOKEN",
            ) from error
        first = " ".join(str(error).split())[:200]
        raise TLError(
            f"{card.name} cannot be loaded: {first}", "see keras.io/keras_hub/presets"
        ) from error


NO_NETWORK = (
    "Connection", "Max retries", "Name or service", "resolve", "offline mode", "LocalEntryNotFound",
)  # fmt: skip


def offline(error: BaseException) -> bool:
    """Return whether an error, by its kind, is one of a network that is not there."""
    return isinstance(error, ConnectionError | TimeoutError) or type(error).__name__ in (
        "ConnectionError", "ConnectError", "LocalEntryNotFoundError", "OfflineModeIsEnabled",
        "MaxRetryError", "NameResolutionError",
    )  # fmt: skip


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
