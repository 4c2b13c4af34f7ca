"""Tables of rows that are read as one, in place: what is appended goes to the first of them.

Knows nothing of what a row holds, nor why there are several.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.store.rows import Rows, Table

if TYPE_CHECKING:
    import numpy as np

    from tl_cli.store.rows import Append

    Array = np.ndarray[Any, Any]


class JoinedTable:
    """A table that is written, and others of the same width and dtype that are only read.

    Rows are numbered through all of them, those of `own` first. As with one table, no row is given
    out that is not what was written.
    """

    def __init__(self, own: Table, others: Sequence[Table]) -> None:
        self.own, self.others = own, tuple(others)
        self.width, self.dtype = own.width, own.dtype
        self._elsewhere: dict[str, int] = {}
        self._know()

    def _know(self) -> None:
        """Note which of the other tables has the row of each image."""
        self._elsewhere = {
            digest: number for number, table in enumerate(self.others) for digest in table.index
        }

    @property
    def index(self) -> Mapping[str, int]:
        """The images that have a row. What they map to says nothing."""
        return ChainMap(self.own.index, self._elsewhere)

    @property
    def name(self) -> str:
        """What tells this table from others."""
        return self.own.name

    @property
    def folder(self) -> Path:
        """The folder of the table that is written."""
        return self.own.folder

    def note(self, fact: str) -> None:
        """Note a fact on what the table holds. Raises OSError."""
        self.own.note(fact)

    def noted(self, fact: str) -> bool:
        """Tell whether a fact was noted of any of them."""
        return any(table.noted(fact) for table in (self.own, *self.others))

    @contextmanager
    def writing(self) -> Iterator[Append]:
        """Give `append(digests, rows)`, for images that have no row yet: see `Table.writing`."""
        with self.own.writing() as append:
            yield append

    def find(self, digests: Sequence[str]) -> tuple[Array, Stacked]:
        """Return which row is that of each image, int64 [n], -1 for none, and all rows, mapped.

        As `Table.find`. Raises OSError where files cannot be read.
        """
        import numpy as np

        wanted: list[list[int]] = [[] for _ in range(1 + len(self.others))]
        for i, digest in enumerate(digests):
            known = digest in self.own.index
            if known or digest in self._elsewhere:
                wanted[0 if known else 1 + self._elsewhere[digest]].append(i)
        order, pieces, start = np.full(len(digests), -1, "int64"), [], 0
        for table, places in zip((self.own, *self.others), wanted, strict=True):
            at, mapped = table.find([digests[i] for i in places])
            order[places] = np.where(at < 0, -1, at + start)
            pieces.append(mapped)
            start += len(mapped)
        self._know()  # find forgets what is damaged
        return order, Stacked(tuple(pieces))

    def check(self, digests: Sequence[str]) -> None:
        """Forget what is damaged of the rows of these images, or all where they cannot be read."""
        try:
            self.find(digests)
        except OSError:
            for table in (self.own, *self.others):
                table.refresh()
            self._know()

    def rows(self, digests: Sequence[str]) -> Rows:
        """Return the rows of these images, in this order. Raises OSError where one has none."""
        order, stacked = self.find(digests)
        if lacking := int((order < 0).sum()):
            raise OSError(f"{self.folder} has lost {lacking:,} of {len(order):,} rows")
        return Rows(stacked, order)


@dataclass(frozen=True)
class Stacked:
    """Mapped arrays [n_i, width] of one dtype, read as one [sum of n_i, width] by its rows."""

    pieces: tuple[Array, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(map(len, self.pieces)), *self.pieces[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        found: np.dtype[Any] = self.pieces[0].dtype
        return found

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        """Return a copy of one row, or of those of an int array."""
        import numpy as np

        rows = np.asarray(rows)
        ends = np.cumsum([len(piece) for piece in self.pieces])
        piece_of = np.searchsorted(ends, rows, side="right")
        found = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
        for number in np.unique(piece_of):
            here = piece_of == number
            start = ends[number] - len(self.pieces[number])
            found[here] = self.pieces[number][rows[here] - start]
        return found
