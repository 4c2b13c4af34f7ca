"""Residual learning (He et al. 2015, "Deep residual learning for image recognition",
arXiv:1512.03385): the block, the networks, and the plain network that they are measured against.
"""

from __future__ import annotations

import keras
from keras import layers

from tl_cli.engine.networks.architectures.convolution import convolution, stem

STAGES = (64, 128, 256, 512)  # filters; each stage but the first begins with stride 2
REPEATS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # table 1 of the paper


def residual(
    x: keras.KerasTensor,
    filters: int,
    stride: int = 1,
    *,
    norm: bool = True,
    shortcut: bool = True,
    name: str = "residual",
) -> keras.KerasTensor:
    """Add two 3x3 convolutions to their input: [b, h, w, c] -> [b, h / s, w / s, filters].

    The shortcut is the identity, or a 1x1 projection where channels or stride differ (option B).
    `norm`: BatchNorm after each convolution, as in the paper, or biases. Without `shortcut` the
    same two convolutions make a plain network.
    """
    y = convolution(x, filters, 3, stride, name=f"{name}_1", norm=norm)
    y = convolution(y, filters, 3, name=f"{name}_2", norm=norm, relu=False)
    if shortcut:
        if stride != 1 or x.shape[-1] != filters:
            x = convolution(x, filters, 1, stride, name=f"{name}_project", norm=norm, relu=False)
        y = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(y)


def resnet(x: keras.KerasTensor, depth: int, *, shortcut: bool = True) -> keras.KerasTensor:
    """Apply the network of 18 or 34 layers: [b, s, s, 3] -> [b, s / 32, s / 32, 512].

    Below 96 px, s / 16. The layers are counted with the classifier, as in the paper.
    """
    x = stem(x, norm=True)
    for stage, (filters, repeats) in enumerate(zip(STAGES, REPEATS[depth], strict=True), 2):
        for i in range(repeats):
            stride = 2 if stage > 2 and i == 0 else 1
            x = residual(x, filters, stride, shortcut=shortcut, name=f"stage{stage}_block{i + 1}")
    return x
