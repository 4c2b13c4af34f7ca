"""The auxiliary classifier of GoogLeNet (Szegedy et al. 2014, arXiv:1409.4842, section 5); see also
Lee et al. 2014, "Deeply-supervised nets" (arXiv:1409.5185).
"""

from __future__ import annotations

import keras
from keras import layers

from tl_cli.engine.networks.architectures.convolution import convolution

SIDE = 14  # of the maps that the paper attaches it to
WINDOW, STRIDE = 5, 3
FILTERS, UNITS, DROPOUT = 128, 1024, 0.7


def auxiliary_head(
    x: keras.KerasTensor, classes: int, name: str = "auxiliary"
) -> keras.KerasTensor:
    """Return class scores float32 [batch, classes], before softmax, from an inner feature map.

    Average pooling 5x5 of stride 3, 1x1 convolution of 128, fully connected 1024, dropout 0.7. The
    window grows with maps larger than 14x14, so that no more than 4x4 are connected, and shrinks
    to maps smaller than 5x5.
    """
    side = min(x.shape[1:3])
    scale = max(1.0, side / SIDE)
    window, stride = min(side, round(WINDOW * scale)), round(STRIDE * scale)
    x = layers.AveragePooling2D(window, stride, name=f"{name}_pool")(x)
    x = convolution(x, FILTERS, 1, name=f"{name}_1x1")
    x = layers.Flatten(name=f"{name}_flat")(x)
    dense = layers.Dense(
        UNITS, activation="relu", kernel_initializer="he_normal", name=f"{name}_dense"
    )
    x = layers.Dropout(DROPOUT, name=f"{name}_dropout")(dense(x))
    return layers.Dense(classes, dtype="float32", name=f"{name}_scores")(x)
