"""A Gaussian kernel between what is pooled and the head: see `head.kernel`, which solves it.

Plain layers of Keras alone, so that an exported network opens without this package.
"""

from __future__ import annotations

import keras
import numpy as np

KERNEL, CENTRES, SQUARES = "kernel", "kernel_centres", "kernel_squares"


def kernel_layers(width: int, centres: int) -> keras.Model:
    """Return exp(x a + b + x^2 c) from [batch, width] to [batch, centres].

    In float32, since the exponent is a small difference of large numbers.
    """
    x = keras.Input((width,), name="joined", dtype="float32")
    near = keras.layers.Dense(centres, "linear", dtype="float32", name=CENTRES)(x)
    square = keras.layers.Multiply(dtype="float32")([x, x])
    length = keras.layers.Dense(1, use_bias=False, dtype="float32", name=SQUARES)(square)
    exponent = keras.layers.Add(dtype="float32")([near, length])
    likeness = keras.layers.Activation("exponential", dtype="float32")(exponent)
    return keras.Model(x, likeness, name=KERNEL)


def set_kernel(
    layers: keras.Model, weights: np.ndarray, bias: np.ndarray, squares: np.ndarray
) -> None:
    """Put a solved kernel in place: [D, M], [M] and [D, 1], as `Kernel.layers` returns them."""
    layers.get_layer(CENTRES).set_weights([weights, bias])
    layers.get_layer(SQUARES).set_weights([squares])
