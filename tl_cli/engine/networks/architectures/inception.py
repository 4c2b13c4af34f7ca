"""Inception modules and GoogLeNet (Szegedy et al. 2014, "Going deeper with convolutions",
arXiv:1409.4842), as in the paper: biases, no BatchNorm. Local response normalisation is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import layers

from tl_cli.engine.networks.architectures.convolution import convolution, halved, stem


@dataclass(frozen=True)
class Widths:
    """The filters of one module, in the paper's order."""

    one: int  # 1x1
    reduce_three: int  # 1x1 before 3x3
    three: int
    reduce_five: int  # 1x1 before 5x5
    five: int
    pool: int  # 1x1 after pooling

    @property
    def out(self) -> int:
        return self.one + self.three + self.five + self.pool


# Table 1 of the paper
GOOGLENET = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}
POOLED_BEFORE = ("3a", "4a", "5a")

Module = Callable[[keras.KerasTensor, Widths, str], keras.KerasTensor]


def inception(x: keras.KerasTensor, widths: Widths, name: str = "inception") -> keras.KerasTensor:
    """Apply the module with 1x1 reductions (figure 2b): [b, h, w, c] -> [b, h, w, widths.out]."""
    one = convolution(x, widths.one, 1, name=f"{name}_1x1")
    three = convolution(x, widths.reduce_three, 1, name=f"{name}_3x3_reduce")
    three = convolution(three, widths.three, 3, name=f"{name}_3x3")
    five = convolution(x, widths.reduce_five, 1, name=f"{name}_5x5_reduce")
    five = convolution(five, widths.five, 5, name=f"{name}_5x5")
    pool = convolution(_pooled(x, name), widths.pool, 1, name=f"{name}_pool_project")
    return layers.Concatenate(name=f"{name}_concat")([one, three, five, pool])


def inception_naive(
    x: keras.KerasTensor, widths: Widths, name: str = "inception", *, chained: bool = False
) -> keras.KerasTensor:
    """Apply the naive module (figure 2a): no reductions, and pooling keeps all its channels.

    [b, h, w, c] -> [b, h, w, one + three + five + c]. With `chained` the 3x3 convolution sees the
    1x1's output and the 5x5 the 3x3's, instead of all three the input.
    """
    one = convolution(x, widths.one, 1, name=f"{name}_1x1")
    three = convolution(one if chained else x, widths.three, 3, name=f"{name}_3x3")
    five = convolution(three if chained else x, widths.five, 5, name=f"{name}_5x5")
    return layers.Concatenate(name=f"{name}_concat")([one, three, five, _pooled(x, name)])


def _pooled(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.MaxPooling2D(3, 1, "same", name=f"{name}_pool")(x)


def googlenet(x: keras.KerasTensor, module: Module = inception) -> keras.KerasTensor:
    """Apply the network: [b, s, s, 3] -> [b, s / 32, s / 32, 1024], s / 16 below 96 px.

    With `inception_naive` as `module` the channels grow from module to module, to 4944.
    """
    x = stem(x, norm=False)
    x = convolution(x, 64, 1, name="stem_reduce")
    x = convolution(x, 192, 3, name="stem_3x3")
    for name, widths in GOOGLENET.items():
        if name in POOLED_BEFORE:
            x = halved(x, f"pool{name[0]}")
        x = module(x, widths, f"inception{name}")
    return x


def googlenet_naive(x: keras.KerasTensor) -> keras.KerasTensor:
    """Apply GoogLeNet made of naive modules: what the 1x1 reductions are there to avoid."""
    return googlenet(x, inception_naive)
