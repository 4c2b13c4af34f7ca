"""Networks that are ours to build, in functional Keras, and the blocks they are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras

from tl_cli.engine.networks.architectures.auxiliary import auxiliary_head
from tl_cli.engine.networks.architectures.inception import (
    GOOGLENET,
    Widths,
    googlenet,
    googlenet_naive,
    inception,
    inception_naive,
)
from tl_cli.engine.networks.architectures.residual import residual, resnet

# Scaled images [b, s, s, 3] -> the last feature map
NETWORKS: dict[str, Callable[[keras.KerasTensor], keras.KerasTensor]] = {
    "googlenet": googlenet,
    "googlenet_naive": googlenet_naive,
    "resnet18": partial(resnet, depth=18),
    "resnet34": partial(resnet, depth=34),
    "plain34": partial(resnet, depth=34, shortcut=False),
}

__all__ = [
    "GOOGLENET",
    "NETWORKS",
    "Widths",
    "auxiliary_head",
    "inception",
    "inception_naive",
    "residual",
]
