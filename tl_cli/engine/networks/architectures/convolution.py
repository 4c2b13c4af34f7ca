"""A convolution with what follows it, and the first layers: what the papers' networks share."""

from __future__ import annotations

import keras
from keras import layers

SMALL = 96  # pixels; below, the papers' stem would leave nothing to look at
EPSILON = 1e-5


def convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    stride: int = 1,
    *,
    name: str,
    norm: bool = False,
    relu: bool = True,
) -> keras.KerasTensor:
    """Convolve [batch, h, w, c] -> [batch, h / stride, w / stride, filters], padding `same`.

    With `norm` BatchNorm stands in place of the bias (Ioffe & Szegedy 2015, arXiv:1502.03167).
    """
    x = layers.Conv2D(
        filters, kernel, stride, "same", use_bias=not norm, kernel_initializer="he_normal",
        name=name,
    )(x)  # fmt: skip
    if norm:
        x = layers.BatchNormalization(epsilon=EPSILON, momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def stem(x: keras.KerasTensor, *, norm: bool) -> keras.KerasTensor:
    """Return the first 64 channels: 7x7 stride 2 and 3x3 max pooling stride 2.

    Below 96 px a 3x3 convolution of stride 2 alone, so that 32 px still come to 2x2 at the end.
    """
    if x.shape[1] < SMALL:
        return convolution(x, 64, 3, 2, name="stem", norm=norm)
    return halved(convolution(x, 64, 7, 2, name="stem", norm=norm), "stem_pool")


def halved(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Halve height and width by 3x3 max pooling of stride 2."""
    return layers.MaxPooling2D(3, 2, "same", name=name)(x)
