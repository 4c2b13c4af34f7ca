"""What BatchNorm remembers of the pretraining data, and how far other images are from it.

The running mean and variance of each BatchNorm are statistics of the images that the network was
pretrained on, so the distance needs neither those images nor labels. Knows nothing of tables.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tl_cli.engine.networks import nodes

Array = NDArray[Any]


def entering(model: keras.Model) -> list[tuple[keras.layers.BatchNormalization, Any]]:
    """Return each BatchNorm of an opened functional model with its input tensor, in graph order."""
    return [
        (node.operation, node.input_tensors[0])
        for node in nodes.nodes_of(model)
        if isinstance(node.operation, keras.layers.BatchNormalization)
    ]


def width(model: keras.Model) -> int:
    """Return the values in one image's row of moments; 0 where there is no BatchNorm."""
    return sum(2 * tensor.shape[-1] for _, tensor in entering(model))


def of_each_image(model: keras.Model) -> list[keras.KerasTensor]:
    """Return mean and deviation over space of each BatchNorm's input, a pair of [batch, C] each."""
    pairs = []
    for _, tensor in entering(model):
        x = keras.ops.cast(tensor, "float32")
        inside = list(range(1, len(x.shape) - 1))
        mean, variance = keras.ops.moments(x, inside) if inside else (x, x * 0)
        pairs += [mean, keras.ops.sqrt(variance)]
    return pairs


def distances(model: keras.Model, rows: Array) -> Array:
    """Return d [L], each BatchNorm's distance between the images and its own memory.

    `rows`: float [n, width], what `of_each_image` gave for n images, joined. d is the mean over
    channels of the Kullback-Leibler divergence of two normal distributions, 0.5 * ((m' - m)^2 / v +
    v' / v - 1 - ln(v' / v)), with BatchNorm's epsilon added to both variances; in nats.
    """
    found, start = [], 0
    for layer, tensor in entering(model):
        size = tensor.shape[-1]
        mean, deviation = np.split(rows[:, start : start + 2 * size].astype("float64"), 2, axis=1)
        start += 2 * size
        variance = (deviation**2).mean(0) + mean.var(0) + layer.epsilon
        found.append(_divergence(layer, mean.mean(0), variance))
    return np.array(found)


def _divergence(layer: keras.layers.BatchNormalization, mean: Array, variance: Array) -> float:
    known = keras.ops.convert_to_numpy(layer.moving_mean).astype("float64")
    spread = keras.ops.convert_to_numpy(layer.moving_variance).astype("float64") + layer.epsilon
    ratio = variance / spread
    return float(np.mean(0.5 * ((mean - known) ** 2 / spread + ratio - 1 - np.log(ratio))))
