"""Features that lie on disk and are read in blocks: what a head is solved on where they do not fit.

A solver reads them as it reads an array, by slices of rows; choosing columns, rows or a scale reads
nothing. The functions here do for both what an array does by its indices. Knows nothing of heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl_cli.machine import available_memory
from tl_cli.store.rows import Rows

Array = NDArray[Any]

BLOCK = 4096  # rows that are read at a time
COPIES = 3  # of the features that a solver has in memory at its worst: as given, joined, and parts
MEMORY_SHARE = 0.5  # of what is free


@dataclass(frozen=True, eq=False)
class RowBlocks:
    """Float32 [n, D] on disk: some rows and columns of what a pass kept, each column divided."""

    source: Rows
    rows: Array  # int64 [n], of the source
    columns: slice  # of the source, with a start and a stop
    scales: Array | None = None  # float32 [D]

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self.rows), self.columns.stop - self.columns.start)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Array | slice) -> Array:
        """Read rows: float32 [m, D]."""
        rows = self.rows[chosen]
        found = np.empty((len(rows), self.shape[1]), np.float32)
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            found[part] = self.source[rows[part]][:, self.columns]
        return found if self.scales is None else found / self.scales


Features = Array | RowBlocks


def kept(rows: Rows, width: int) -> Features:
    """Return the last `width` columns of what a pass kept: in memory where they fit, else on disk.

    In memory they are float32 [n, width].
    """
    total = rows.shape[1]
    blocks = RowBlocks(rows, np.arange(len(rows)), slice(total - width, total))
    return blocks[:] if fits(len(rows), width) else blocks


def fits(images: int, width: int) -> bool:
    """Tell whether a head can be solved in memory on so many images with so many features."""
    return COPIES * 4 * images * width <= MEMORY_SHARE * available_memory()


def columns(features: Features, part: slice) -> Features:
    """Return some neighbouring columns."""
    if not isinstance(features, RowBlocks):
        return features[:, part]
    start, stop, _ = part.indices(features.shape[1])
    first = features.columns.start
    return replace(
        features,
        columns=slice(first + start, first + stop),
        scales=None if features.scales is None else features.scales[part],
    )


def taken(features: Features, rows: Array | slice) -> Features:
    """Return some rows."""
    if not isinstance(features, RowBlocks):
        return features[rows]
    return replace(features, rows=features.rows[rows])


def stacked(parts: Sequence[Features]) -> Features:
    """Return the rows of all parts, one after the other; of one source where they lie on disk."""
    first = parts[0]
    if not isinstance(first, RowBlocks):
        return np.concatenate([np.asarray(part) for part in parts])
    return replace(first, rows=np.concatenate([p.rows for p in parts if isinstance(p, RowBlocks)]))


def divided(features: RowBlocks, scales: Array) -> RowBlocks:
    """Return the features with each column divided by its scale, float32 [D]."""
    assert features.scales is None
    return replace(features, scales=scales)
