"""Networks that are built in a tenth of a second, for tests of what is done with one.

In place of EfficientNet-Lite0, whose two hundred operations take nearly all the time of a tiny
training: a stem, separable blocks (one of them residual) and a head, with BatchNorm that has seen
images. `small` and `smaller` are what `--backbone` calls them here, in every file that imports
`test_cli`; no list of backbones shows them. In another process: `python -m small_network train
...`, in the folder `tests`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from tl_cli import catalog
from tl_cli.cards.card import PRETRAINED
from tl_cli.catalog import Card
from tl_cli.engine.networks import loading
from tl_cli.engine.networks.weights_file import load_weights
from tl_cli.plan.blocks import Block

SIZE = 64
BLOCKS = {  # filters and stride
    "small": ((16, 1), (24, 2), (24, 1), (40, 2), (64, 1)),
    "smaller": ((16, 2), (32, 2)),
}


class SmallCard(Card):
    """A card whose blocks are measured here, and lie in no file."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        return _blocks(self)


CARDS = {
    name: SmallCard(
        name=name,
        source="small",
        place="",
        image_size=SIZE,
        preprocessing="lite",
        pretrained_on="noise",
        licence="none",
    )
    for name in BLOCKS
}
SMALL = CARDS["small"]


class _AndSmall(dict[str, Card]):
    """The catalogue, and cards that are known by their names and in no list."""

    def __contains__(self, name: object) -> bool:
        return name in CARDS or super().__contains__(name)

    def __missing__(self, name: str) -> Card:
        return CARDS[name]

    def get(self, name: Any, default: Any = None) -> Any:
        return super().get(name, CARDS.get(name, default))


def network(card: Card, inputs: keras.KerasTensor, x: keras.KerasTensor) -> keras.Model:
    """Return it with random weights, from scaled images on."""
    x = _normed(layers.Conv2D(8, 3, 2, "same", use_bias=False, name="stem_conv")(x), "stem")
    for i, (filters, stride) in enumerate(BLOCKS.get(card.name, BLOCKS["small"])):
        shortcut, name = x, f"block{i}"
        x = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
        x = _normed(x, f"{name}_depthwise")
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_conv")(x)
        x = _normed(x, name)
        if shortcut.shape == x.shape:
            x = layers.Add(name=f"{name}_add")([shortcut, x])
    x = _normed(layers.Conv2D(96, 1, use_bias=False, name="head_conv")(x), "head")
    return keras.Model(inputs, x, name=card.name)


def _normed(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6.0, name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))


def build(card: Card, inputs: keras.KerasTensor, x: keras.KerasTensor, weights: Any) -> keras.Model:
    """Return the network as a row of `loading.SOURCES` does."""
    model = network(card, inputs, x)
    if weights == PRETRAINED:
        for layer, values in zip(_weighted(model), _pretrained(card), strict=True):
            layer.set_weights(values)
    elif weights:
        load_weights(model, Path(weights))
    return model


def _weighted(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if layer.weights]


@functools.cache
def _pretrained(card: Card) -> list[list[np.ndarray]]:
    """Weights that are the same each time, and the moments that some smooth noise has there."""
    rng = np.random.default_rng(0)
    inputs = keras.Input((SIZE, SIZE, 3))
    model = network(card, inputs, loading.preprocessed(inputs, card.preprocessing))
    for layer in _weighted(model):
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
        else:
            shape = layer.weights[0].shape
            fan = np.prod(shape[:2]) * (1 if "depthwise" in layer.name else shape[2])
            layer.set_weights([rng.normal(0, np.sqrt(2 / fan), shape)])
    coarse = rng.uniform(0, 255, (64, 8, 8, 3)).astype("float32")
    model(keras.ops.image.resize(coarse, (SIZE, SIZE)), training=True)
    return [layer.get_weights() for layer in _weighted(model)]


@functools.cache
def _blocks(card: Card) -> tuple[Block, ...]:
    return loading.load(card, SIZE, weights=None).blocks


catalog.CARDS = _AndSmall(catalog.CARDS)
loading.SOURCES[SMALL.source] = build

if __name__ == "__main__":
    from tl_cli.cli.app import main

    main()
