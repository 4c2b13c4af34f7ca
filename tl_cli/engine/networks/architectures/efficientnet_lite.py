"""EfficientNet-Lite: EfficientNet without squeeze-and-excite, with ReLU6 (Tan & Le 2019, and the
TensorFlow model garden's `lite` variants). Knows where its published weights' names go, and nothing
of files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import keras
import numpy as np
from keras import layers

# repeats, kernel, stride, expansion, filters: EfficientNet-B0's table.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
EPSILON = 1e-3
# width, depth and input size of the variants
VARIANTS = {
    "efficientnet_lite0": (1.0, 1.0, 224),
    "efficientnet_lite1": (1.0, 1.1, 240),
    "efficientnet_lite2": (1.1, 1.2, 260),
}


def efficientnet_lite(
    inputs: keras.KerasTensor, variant: str = "efficientnet_lite0", classes: int = 0
) -> keras.KerasTensor:
    """Apply the network to `inputs` [batch, height, width, 3], scaled by (x - 127) / 128.

    Returns the last feature map [batch, height / 32, width / 32, 1280], or with `classes` the
    class scores [batch, classes] before softmax. Stem and head keep 32 and 1280 filters in every
    variant; the repeats of the first and last stage are not scaled.
    """
    width, depth, _ = VARIANTS[variant]
    x = _conv(inputs, 32, 3, 2, "stem")
    number = 0
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
        if stage not in (0, len(STAGES) - 1):
            repeats = math.ceil(depth * repeats)
        for repeat in range(repeats):
            out = _round(filters * width)
            x = _mbconv(x, out, kernel, stride if repeat == 0 else 1, expansion, f"block{number}")
            number += 1
    x = _conv(x, 1280, 1, 1, "head")
    if not classes:
        return x
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return layers.Dense(classes, name="classifier")(x)


def _round(filters: float, divisor: int = 8) -> int:
    """Round to a multiple of 8, never down by more than a tenth."""
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded


def _mbconv(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, expansion: int, name: str
) -> keras.KerasTensor:
    """Inverted residual (Sandler 2018): widen, filter each channel, narrow, add."""
    shortcut = x
    if expansion != 1:
        x = _conv(x, x.shape[-1] * expansion, 1, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _norm(x, f"{name}_depthwise")
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _conv(x, filters, 1, 1, f"{name}_project", relu=False)
    if stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _conv(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str, relu: bool = True
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=f"{name}_conv")(x)
    x = _norm(x, name)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=EPSILON, momentum=0.99, name=f"{name}_bn")(x)


def convert(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Set the model's weights from a PyTorch state dict (convolutions OIHW, dense out x in).

    Raises KeyError or ValueError where a tensor is missing or has another shape.
    """
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_weights(layer, _torch_name(layer.name), tensors))


def _torch_name(name: str) -> str:
    """Return the PyTorch name of a layer: norms are numbered there, not named."""
    if name == "classifier":
        return "_fc"
    *block, part, kind = name.split("_")
    if not block:
        return f"_conv_{part}" if kind == "conv" else {"stem": "_bn0", "head": "_bn1"}[part]
    numbers = {"expand": 0, "depthwise": 1, "project": 2}
    inside = f"_{part}_conv" if kind == "conv" else f"_bn{numbers[part]}"
    return f"_blocks.{block[0].removeprefix('block')}.{inside}"


def _weights(layer: keras.Layer, name: str, tensors: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    if isinstance(layer, layers.BatchNormalization):
        return [
            tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        ]
    weight = tensors[f"{name}.weight"]
    if isinstance(layer, layers.Dense):
        return [weight.T, tensors[f"{name}.bias"]]
    order = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return [weight.transpose(order)]
