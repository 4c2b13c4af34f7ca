"""The blocks of a backbone as plain numbers, and the arithmetic of freezing the first few of them.

Knows nothing of networks or of the framework: a catalogue card can hold blocks, and a freeze ratio
can be snapped to a cut point, before TensorFlow is loaded. A *cut* counts blocks: 0 freezes
nothing, ``len(blocks)`` freezes the whole backbone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from tl_cli.errors import TLError

NEAR = (
    0.04  # cuts whose shares differ by less than this are equally good: the smaller cache decides
)


@dataclass(frozen=True, repr=False)
class Block:
    """A stretch of a backbone between two cut points, all sizes for one image."""

    name: str
    layers: tuple[str, ...]  # paths of its weighted leaf layers, in graph order
    parameters: int  # BatchNorm moments included; a shared layer counts where it is called first
    multiply_adds: int  # normalisation counts as 0: in inference it folds into its neighbour
    output_shape: tuple[int, ...]  # without the batch
    cache_bytes: int  # the output in float16

    def __repr__(self) -> str:
        """Return the constructor call with bare arguments, short enough for a table of cards."""
        return f"Block({', '.join(map(repr, astuple(self)))})"


@dataclass(frozen=True)
class Shares:
    """What part of the backbone lies before a cut, each 0 to 1."""

    layers: float  # of its weighted leaf layers: the freeze ratio
    parameters: float
    compute: float  # of its multiply-adds


def frozen_shares(blocks: Sequence[Block], cut: int) -> Shares:
    """Return the shares that the first `cut` blocks have of the whole.

    Raises ValueError when there is no such cut.
    """
    if not 0 <= cut <= len(blocks):
        raise ValueError(f"cut {cut} is outside 0..{len(blocks)}")

    def share(sizes: Sequence[int]) -> float:
        return sum(sizes[:cut]) / sum(sizes) if any(sizes) else cut / max(len(sizes), 1)

    return Shares(
        layers=share([len(b.layers) for b in blocks]),
        parameters=share([b.parameters for b in blocks]),
        compute=share([b.multiply_adds for b in blocks]),
    )


def nearest_cut(blocks: Sequence[Block], freeze_ratio: float) -> int:
    """Return the cut whose share of weighted leaf layers is nearest to `freeze_ratio`.

    Among the cuts within 0.04 of the nearest one's distance the smallest cache wins, then the
    nearest, then the earliest. Training everything caches nothing, which counts as the largest
    cache. Ratios 0 and 1 are exact. Raises TLError for a ratio outside 0..1.
    """
    if not 0 <= freeze_ratio <= 1:
        raise TLError(
            f"freeze ratio {freeze_ratio} is not between 0 and 1",
            "0 trains the whole network, 1 only the head, 0.5 about the later half",
        )
    if freeze_ratio in (0, 1):
        return len(blocks) if freeze_ratio else 0
    sizes: list[float] = [math.inf, *(b.cache_bytes for b in blocks)]
    away = [abs(frozen_shares(blocks, c).layers - freeze_ratio) for c in range(len(sizes))]
    # The tolerance is compared in steps of 1e-9, so that a tie does not hang on rounding.
    near = [c for c in range(len(sizes)) if away[c] <= min(away) + NEAR + 1e-9]
    return min(near, key=lambda c: (sizes[c], round(away[c], 9), c))
