"""Rows of one fixed size, keyed by the content of an image: appended, never changed, on disk.

What a killed process leaves is gone on with, and several processes may read and write. Knows
nothing of what a row holds.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tl_cli.store import cache

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Append = Callable[[Sequence[str], Array], None]

SYNC = 5.0  # seconds of work that a killed process may lose; syncing each batch takes long


class Table:
    """Fixed-size rows in `rows.bin`, their images' digests in `digests.txt`, both append-only.

    Rows are synced before their digests are written, so a row that has a digest is whole, and
    what a killed writer left beyond the last digest is cut off by the next one. The folder comes
    with the first writer; until then the table is empty.
    """

    DIGEST = 33  # bytes a line

    def __init__(self, folder: Path, width: int, dtype: str) -> None:
        import numpy as np

        self.folder, self.width, self.dtype = folder, width, np.dtype(dtype)
        self.index: dict[str, int] = {}
        self.refresh()

    @property
    def row_bytes(self) -> int:
        """The bytes of one row."""
        return self.width * self.dtype.itemsize

    def refresh(self) -> None:
        """Read which images have rows by now."""
        try:
            text = (self.folder / "digests.txt").read_bytes()
        except FileNotFoundError:
            text = b""
        whole = len(text) // self.DIGEST
        lines = text[: whole * self.DIGEST].decode("ascii").split()
        self.index = {digest: row for row, digest in enumerate(lines)}

    @contextlib.contextmanager
    def writing(self, *, wait: bool = True) -> Iterator[Append]:
        """Give `append(digests, rows)`, for images that have no row yet.

        One process writes at a time; another one waits, or with `wait` False gets BlockingIOError.
        What was appended is seen by others from time to time and at the end.
        """
        with cache.held(self.folder, wait=wait):
            self.refresh()
            try:
                with (
                    (self.folder / "rows.bin").open("ab") as rows,
                    (self.folder / "digests.txt").open("ab") as digests,
                ):
                    self._cut()
                    yield from self._appending(rows, digests)
            except OSError:  # what filled the disk must not stay on it
                self._cut()
                raise

    def _cut(self) -> None:
        """Cut off what a writer left that did not come to its end."""
        os.truncate(self.folder / "digests.txt", len(self.index) * self.DIGEST)
        os.truncate(self.folder / "rows.bin", len(self.index) * self.row_bytes)

    def _appending(self, rows: BinaryIO, digests: BinaryIO) -> Iterator[Append]:
        import numpy as np

        pending: list[str] = []
        synced = time.monotonic()

        def append(names: Sequence[str], values: Array) -> None:
            rows.write(np.ascontiguousarray(values, self.dtype).data)
            pending.extend(names)
            if time.monotonic() - synced >= SYNC:
                commit()

        def commit() -> None:
            nonlocal synced
            _sync(rows)
            digests.write("".join(f"{name:<32}\n" for name in pending).encode("ascii"))
            _sync(digests)
            self.index.update({name: len(self.index) + i for i, name in enumerate(pending)})
            pending.clear()
            synced = time.monotonic()

        try:
            yield append
        finally:
            if pending:
                commit()

    def mapped(self) -> Array:
        """Return all rows, [rows, width], mapped from disk; note that they were used now.

        Raises FileNotFoundError where the table was evicted since its index was read, ValueError
        where it has fewer rows than that.
        """
        import numpy as np

        if not self.index:
            return np.empty((0, self.width), self.dtype)
        with contextlib.suppress(OSError):  # a cache that another user shares for reading
            os.utime(self.folder)
        shape = (len(self.index), self.width)
        rows = np.memmap(self.folder / "rows.bin", self.dtype, "r", shape=shape)
        with (self.folder / "digests.txt").open("rb") as digests:
            digests.seek((len(self.index) - 1) * self.DIGEST)
            if digests.read(self.DIGEST).decode("ascii").strip() != next(reversed(self.index)):
                raise FileNotFoundError(f"{self.folder} was evicted and begun anew")
        return rows

    def rows(self, digests: Sequence[str]) -> Rows:
        """Return the rows of these images, in this order; KeyError for one that has none."""
        import numpy as np

        return Rows(self.mapped(), np.array([self.index[digest] for digest in digests], "int64"))


@dataclass(frozen=True)
class Rows:
    """An array [n, width] that lies on disk and is read as it is indexed."""

    mapped: Array
    order: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.order), *self.mapped.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        found: np.dtype[Any] = self.mapped.dtype
        return found

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, rows: Array | slice) -> Array:
        import numpy as np

        return np.asarray(self.mapped[self.order[rows]])

    def array(self) -> Array:
        """Return everything as float32 in memory: for pooled features, which are small."""
        return self[:].astype("float32")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
