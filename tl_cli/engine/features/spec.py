"""One table of features: what a row holds, what names it. Knows nothing of disks and passes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import keras

from tl_cli.data import decode
from tl_cli.engine.features import batchnorm_shift
from tl_cli.engine.networks.loading import Backbone
from tl_cli.engine.networks.pooling import POOLINGS
from tl_cli.store.rows import ROWS_VERSION

# Raise it whenever the same file and network would give other rows: those kept before are then not
# found. That is, when what augmentation, pooling, preprocessing, the thumbnail or the moments give
# changes; a test compares them with figures of this version.
FEATURES_VERSION = 1
PIXELS = 16  # the side of the thumbnail that a row may hold


@dataclass(frozen=True)
class View:
    """One look at each image: number 0 is the plain image, others are augmented by the recipe."""

    number: int = 0
    augment: str = "none"
    mirror: bool = False
    seed: int = 0
    flip: bool = False  # every image mirrored, none by a coin

    @property
    def words(self) -> str:
        """What makes it differ from the plain view, behind a comma."""
        return ", mirrored" if self.flip else f", augmented view {self.number}" * bool(self.number)


PLAIN = View()


@dataclass(frozen=True)
class FeatureSpec:
    """One table. A row is the tensor at the cut, flat, then what is pooled at the taps.

    Between them, with `pixels`, the image itself in PIXELS x PIXELS; behind them, with `moments`,
    what `moments.of_each_image` says of it.
    """

    taps: tuple[int, ...] = ()
    cut: int | None = None
    view: View = PLAIN
    dtype: str = "float16"
    pooling: str = "avg"  # a row of POOLINGS
    pixels: bool = False
    moments: bool = False

    def key(self, backbone: Backbone) -> str:
        """Name the table: equal keys mean equal rows for equal images."""
        parts = (
            FEATURES_VERSION, decode.version(), ROWS_VERSION,
            backbone.digest, backbone.card.name, backbone.image_size, self,
        )  # fmt: skip
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def width(self, backbone: Backbone) -> int:
        """Return the values in one image's row."""
        blocks = backbone.blocks
        shapes = [blocks[tap - 1].output_shape for tap in self.taps]
        return (
            (math.prod(blocks[self.cut - 1].output_shape) if self.cut else 0)
            + (PIXELS * PIXELS * 3 if self.pixels else 0)
            + sum(map(POOLINGS[self.pooling].width, shapes))
            + (batchnorm_shift.width(backbone.model) if self.moments else 0)
        )

    @property
    def ends(self) -> tuple[int, ...]:
        """The cuts whose tensors the table is made of."""
        return (*((self.cut,) if self.cut else ()), *self.taps)

    def output(self, backbone: Backbone, at: Mapping[int, keras.KerasTensor]) -> keras.KerasTensor:
        """Return the tensor that fills the table, from the backbone's tensors `at` its cuts."""
        parts = [keras.layers.Flatten()(at[self.cut])] if self.cut else []
        if self.pixels:
            parts.append(_thumbnail(backbone.model.inputs[0]))
        parts += [POOLINGS[self.pooling].apply(at[tap]) for tap in self.taps]
        if self.moments:
            parts += batchnorm_shift.of_each_image(backbone.model)
        return keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def _thumbnail(image: keras.KerasTensor) -> keras.KerasTensor:
    """Return the raw image in PIXELS x PIXELS, flat."""
    small = keras.ops.image.resize(image, (PIXELS, PIXELS), antialias=True)
    return keras.layers.Flatten()(small)
