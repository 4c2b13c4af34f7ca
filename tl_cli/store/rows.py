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
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.store import cache

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Append = Callable[[Sequence[str], Array], None]

SYNC = 5.0  # seconds of work that a killed process may lose; syncing each batch takes long


class Table:
    """Fixed-size rows in `rows.bin`, their images' digests in `digests.txt`, both append-only.

    Rows are synced before their digests are written, so a row that has a digest is whole, and
    what an interrupted writer left beyond the last digest is cut off by the next one. The folder
    comes with the first writer; until then the table is empty.
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
        """Read which images have rows by now.

        Only what can be right counts: digests up to the first that is damaged or there twice, and
        no more of them than there are rows.
        """
        try:
            text = (self.folder / "digests.txt").read_bytes()
            size = (self.folder / "rows.bin").stat().st_size
        except FileNotFoundError:
            text, size = b"", 0
        lines = _whole_lines(text, self.DIGEST)
        rows = lines[: size // self.row_bytes] if self.row_bytes else lines
        self.index = {digest: row for row, digest in enumerate(rows)}

    @contextlib.contextmanager
    def writing(self, *, wait: bool = True) -> Iterator[Append]:
        """Give `append(digests, rows)`, for images that have no row yet.

        One process writes at a time; another one waits, or with `wait` False gets BlockingIOError.
        What was appended is seen by others from time to time and at the end. An error or an
        interrupt, wherever it comes, leaves files and index that agree: all rows that were
        appended, or those that are on disk by then.
        """
        with cache.held(self.folder, wait=wait):
            self.refresh()
            try:
                with (
                    (self.folder / "rows.bin").open("ab", buffering=0) as rows,
                    (self.folder / "digests.txt").open("ab", buffering=0) as digests,
                ):
                    self._cut()
                    writer = _Writer(self, rows, digests)
                    try:
                        yield writer.append
                    finally:
                        writer.commit()
            except OSError:  # what filled the disk must not stay on it
                self._cut()
                raise
            except BaseException:  # on disk there may be more than the index knows of
                self.refresh()
                self._cut()
                raise

    def _cut(self) -> None:
        """Cut off what a writer left that did not come to its end."""
        os.truncate(self.folder / "digests.txt", len(self.index) * self.DIGEST)
        os.truncate(self.folder / "rows.bin", len(self.index) * self.row_bytes)

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


class _Writer:
    """Appends to a table's two files, and trusts nothing but these: what is in them is done."""

    def __init__(self, table: Table, rows: RawIOBase, digests: RawIOBase) -> None:
        self.table, self.rows, self.digests = table, rows, digests
        self.names = list(table.index)  # of all rows, those that have no digest yet last
        self.synced = time.monotonic()

    def append(self, names: Sequence[str], values: Array) -> None:
        """Add rows [len(names), width]."""
        import numpy as np

        values = np.ascontiguousarray(values, self.table.dtype)
        values = values.reshape(len(names), self.table.width)
        # an append that was interrupted may have left a part
        _shorten(self.rows, len(self.names) * self.table.row_bytes)
        _write(self.rows, values.reshape(-1).view(np.uint8).data)
        self.names += names
        if time.monotonic() - self.synced >= SYNC:
            self.commit()

    def commit(self) -> None:
        """Make the rows last, then their digests, then tell."""
        if len(self.names) == len(self.table.index):
            return
        _sync(self.rows)
        done = os.fstat(self.digests.fileno()).st_size // self.table.DIGEST
        _shorten(self.digests, done * self.table.DIGEST)
        lines = "".join(f"{name:<32}\n" for name in self.names[done:])
        _write(self.digests, memoryview(lines.encode("ascii")))
        _sync(self.digests)
        self.table.index = {name: row for row, name in enumerate(self.names)}
        self.synced = time.monotonic()


def _write(file: RawIOBase, data: memoryview) -> None:
    while data:
        data = data[file.write(data) or 0 :]


def _sync(file: RawIOBase) -> None:
    os.fsync(file.fileno())


def _shorten(file: RawIOBase, size: int) -> None:
    if os.fstat(file.fileno()).st_size > size:
        os.ftruncate(file.fileno(), size)


def _whole_lines(text: bytes, width: int) -> list[str]:
    """Return the digests of whole lines, each of `width` bytes, before the first one repeated."""
    whole = text[: len(text) // width * width].decode("ascii", "replace").split("\n")[:-1]
    seen: dict[str, None] = {}
    for line in whole:
        name = line.rstrip()
        if len(line) != width - 1 or not name or name in seen:
            break
        seen[name] = None
    return list(seen)
