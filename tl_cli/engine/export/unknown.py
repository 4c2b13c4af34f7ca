"""How unlike the training images an image is, as layers of Keras: the score of `engine.unknown`.

Plain layers and operations of Keras alone, so that an exported network opens without this package.
"""

from __future__ import annotations

import keras
import numpy as np

from tl_cli.engine.unknown import UnknownScore

SCORE = "unknown_score"  # what the output is called
THRESHOLD = 1.0  # above it an image is unknown: scores are told in that unit


def layers(score: UnknownScore) -> keras.Model:
    """Return the score from features [batch, D] to [batch], above 1 for what is unlike.

    With r a row of unit length less the mean of the class means m, A the inverse covariance and t
    the threshold, it is the root of the least r'Ar/t - 2r'Am/t + m'Am/t over the classes. The mean
    is taken off, and what needs no image is computed in float64: in float32 the score is then that
    of `UnknownScore.scores` to about four digits.
    """
    means, less, t = score.means.astype("float64"), score.less.astype("float64"), score.threshold
    centre = means.mean(0)
    means, root = means - centre, score.directions.astype("float64") * np.sqrt(less)
    ahead = score.rest * means - (means @ root) @ root.T  # A m
    width, ones = len(centre), np.ones(len(centre))
    x = keras.Input((width,), name="joined", dtype="float32")
    scaled = _by_column("unknown_spread", x, 1 / score.divisors, np.zeros(width))
    unit = keras.layers.UnitNormalization(dtype="float32")(scaled)
    row = _by_column("unknown_centre", unit, ones, -centre)
    linear = _dense("unknown_means", row, -2 * ahead.T / t, (means * ahead).sum(1) / t)
    length = _dense("unknown_length", _squared(row), np.full((width, 1), score.rest / t))
    along = _dense("unknown_directions", row, root / np.sqrt(t))
    wide = _dense("unknown_wide", _squared(along), -np.ones((root.shape[1], 1)))
    squares = keras.layers.Add(dtype="float32")([linear, length, wide])
    nearest = keras.ops.min(squares, axis=1)
    return keras.Model(x, keras.ops.sqrt(keras.ops.relu(nearest)), name="unknown")


def _squared(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Multiply(dtype="float32")([x, x])


def _by_column(
    name: str, x: keras.KerasTensor, scale: np.ndarray, offset: np.ndarray
) -> keras.KerasTensor:
    """Return x * scale + offset: a BatchNorm keeps both as weights, and all converters know it."""
    layer = keras.layers.BatchNormalization(
        epsilon=0.0, trainable=False, dtype="float32", name=name
    )
    result = layer(x, training=False)
    layer.set_weights([scale, offset, np.zeros(len(scale)), np.ones(len(scale))])
    return result


def _dense(
    name: str, x: keras.KerasTensor, weights: np.ndarray, bias: np.ndarray | None = None
) -> keras.KerasTensor:
    layer = keras.layers.Dense(
        weights.shape[1], use_bias=bias is not None, dtype="float32", name=name
    )
    result = layer(x)
    layer.set_weights([weights] if bias is None else [weights, bias])
    return result
