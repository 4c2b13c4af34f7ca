"""A feature map -> the vector that a head sees. No weights, so that a head can be solved on it.

Plain layers and operations of Keras alone, so that an exported network opens without this package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
from keras import layers, ops

POWER = 3.0  # of gem: where its paper starts from; learning it gained little there
FLOOR = 1e-6
DEVIATION = "avgstd"  # average and deviation: what a pretrained network is asked for


@dataclass(frozen=True)
class Pooling:
    """One way from [batch, h, w, c] to [batch, width of (h, w, c)].

    And from tokens [batch, n, c]; what is [batch, c] is pooled already.
    """

    apply: Callable[[keras.KerasTensor], keras.KerasTensor]
    width: Callable[[Sequence[int]], int]


def _average(x: keras.KerasTensor) -> keras.KerasTensor:
    if len(x.shape) == 2:
        return x
    return (
        layers.GlobalAveragePooling2D()(x)
        if len(x.shape) == 4
        else layers.GlobalAveragePooling1D()(x)
    )


def _maximum(x: keras.KerasTensor) -> keras.KerasTensor:
    if len(x.shape) == 2:
        return x
    if len(x.shape) == 3:
        return layers.GlobalMaxPooling1D()(x)
    return layers.GlobalMaxPooling2D()(x)


def _average_and_maximum(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Concatenate()([_average(x), _maximum(x)])


def _average_and_deviation(x: keras.KerasTensor) -> keras.KerasTensor:
    """How much of each channel there is, and how unevenly it lies: two moments of its map.

    As a style is told from a content by them (Huang and Belongie 2017, arXiv:1703.06868).
    """
    if len(x.shape) == 2:
        return x
    places = tuple(range(1, len(x.shape) - 1))
    exact = ops.cast(x, "float32")  # a difference of squares that are nearly alike
    off = exact - ops.mean(exact, axis=places, keepdims=True)
    deviation = ops.sqrt(ops.mean(ops.square(off), axis=places) + FLOOR)
    return layers.Concatenate()([_average(x), deviation])


def _generalized_mean(x: keras.KerasTensor) -> keras.KerasTensor:
    """Between average (power 1) and maximum: Radenović et al. 2018 (arXiv:1711.02512)."""
    x = ops.cast(x, "float32")  # a cube is out of float16's range soon
    places = tuple(range(1, len(x.shape) - 1))
    return ops.power(ops.mean(ops.power(ops.maximum(x, FLOOR), POWER), axis=places), 1 / POWER)


POOLINGS = {
    "avg": Pooling(_average, lambda shape: shape[-1]),
    "max": Pooling(_maximum, lambda shape: shape[-1]),
    "avgmax": Pooling(_average_and_maximum, lambda shape: 2 * shape[-1]),
    DEVIATION: Pooling(
        _average_and_deviation, lambda shape: shape[-1] * (2 if len(shape) > 1 else 1)
    ),
    "flatten": Pooling(lambda x: layers.Flatten()(x), math.prod),
    "gem": Pooling(_generalized_mean, lambda shape: shape[-1]),
}
