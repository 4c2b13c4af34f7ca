"""Rows of one fixed size, keyed by the content of an image: appended, never changed, on disk.

Each has a checksum, and none is given out that is not what was written. What a killed process
leaves is gone on with, and several processes may read and write. Knows nothing of what a row holds.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.machine import cores
from tl_cli.store import locks, notices

if TYPE_CHECKING:
    import numpy as np

    from tl_cli.store.joined_tables import Stacked

    Array = np.ndarray[Any, Any]
    Append = Callable[[Sequence[str], Array], None]

ROWS_VERSION = 2  # of the two files; it belongs into the name of a table's folder
SYNC = 5.0  # seconds of work that a killed process may lose; syncing each batch takes long
TOGETHER = 256  # rows that one thread checks at a time


class Table:
    """Fixed-size rows in `rows.bin`, a line for each in `digests.txt`, both append-only.

    A line is the digest of the row's image, and the checksum of digest and row: neither a damaged
    row nor another image's is taken for the right one. Of two rows of one image the later counts:
    a damaged row is computed anew and appended. Rows are synced before their lines are written, and
    what an interrupted writer left beyond the last line is cut off by the next one. The folder
    comes with the first writer; until then the table is empty.
    """

    LINE = 42  # bytes: a digest of 32, a blank, a checksum of 8, a line end
    DEAD = b"-" * 41 + b"\n"  # in the place of the line of a damaged row

    def __init__(self, folder: Path, width: int, dtype: str) -> None:
        import numpy as np

        self.folder, self.width, self.dtype = folder, width, np.dtype(dtype)
        self.lines: list[bytes] = []  # one a row, also of rows that are not to be used
        self.index: dict[str, int] = {}
        self._sound: tuple[Array, set[int]] | None = None  # mapped rows, and which were checked
        self.refresh()

    @property
    def name(self) -> str:
        """What tells this table from others."""
        return self.folder.name

    @property
    def row_bytes(self) -> int:
        """The bytes of one row."""
        return self.width * self.dtype.itemsize

    def note(self, fact: str) -> None:
        """Note a fact on what the table holds. Raises OSError."""
        (self.folder / fact).touch()

    def noted(self, fact: str) -> bool:
        """Tell whether a fact was noted."""
        return os.path.exists(self.folder / fact)  # noqa: PTH110  # a Path's raises where forbidden

    def refresh(self) -> None:
        """Read which images have rows by now; none where the files cannot be read."""
        try:
            self._read()
        except OSError:
            self.know([])

    def _read(self) -> None:
        """Read the lines: whole ones, and no more of them than there are rows. Raises OSError."""
        try:
            text = (self.folder / "digests.txt").read_bytes()
            size = (self.folder / "rows.bin").stat().st_size
        except FileNotFoundError:
            text, size = b"", 0
        count = len(text) // self.LINE
        count = min(count, size // self.row_bytes) if self.row_bytes else count
        self.know([text[i * self.LINE : (i + 1) * self.LINE] for i in range(count)])

    def know(self, lines: list[bytes]) -> None:
        """Take these for the lines of all rows."""
        self.lines, self._sound = lines, None
        self.index = {
            digest: row for row, line in enumerate(lines) if (digest := _digest(line)) is not None
        }

    @contextlib.contextmanager
    def writing(self, *, wait: bool = True) -> Iterator[Append]:
        """Give `append(digests, rows)`, for images that have no row yet.

        One process writes at a time; another one waits (see `locks.held`), or with `wait` False
        gets BlockingIOError. What was appended is seen by others from time to time and at the end.
        An error or an interrupt, wherever it comes, leaves files and index that agree: all rows
        that were appended, or those that are on disk by then.
        """
        with locks.held(self.folder, wait=wait):
            self._read()
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
                self._read()
                self._cut()
                raise

    def _cut(self) -> None:
        """Cut off what a writer left that did not come to its end."""
        os.truncate(self.folder / "digests.txt", len(self.lines) * self.LINE)
        os.truncate(self.folder / "rows.bin", len(self.lines) * self.row_bytes)

    def find(self, digests: Sequence[str]) -> tuple[Array, Array]:
        """Return which row is that of each image, int64 [n], and all rows, mapped from disk.

        It is -1 where there is none that can be believed: each row is compared with its checksum
        when it is first asked for. A damaged one is forgotten, as far as that can be written down
        for others too, and that is said. Raises OSError where the files cannot be read.
        """
        import numpy as np

        mapped, sound = self._sound or (self._mapped(), set())
        self._sound = mapped, sound
        new = {row for d in digests if (row := self.index.get(d)) is not None} - sound
        self._forget(damaged := self._damaged(mapped, sorted(new)))
        sound |= new.difference(damaged)
        return np.array([self.index.get(d, -1) for d in digests], "int64"), mapped

    def check(self, digests: Sequence[str]) -> None:
        """Forget what is damaged of the rows of these images, or all where they cannot be read."""
        try:
            self.find(digests)
        except OSError:
            self.refresh()

    def rows(self, digests: Sequence[str]) -> Rows:
        """Return the rows of these images, in this order. Raises OSError where one has none."""
        order, mapped = self.find(digests)
        if lacking := int((order < 0).sum()):
            raise OSError(f"{self.folder} has lost {lacking:,} of {len(order):,} rows")
        return Rows(mapped, order)

    def _mapped(self) -> Array:
        """Return all rows, [rows, width]; note that they were used now."""
        import numpy as np

        with contextlib.suppress(OSError):  # a cache that another user shares for reading
            os.utime(self.folder)
        if self.lines and not self._is_as_read():  # evicted, and perhaps begun anew
            self._read()
        if not self.lines:
            return np.empty((0, self.width), self.dtype)
        shape = (len(self.lines), self.width)
        try:
            return np.memmap(self.folder / "rows.bin", self.dtype, "r", shape=shape)
        except ValueError as error:
            raise OSError(f"{self.folder} was cut off a moment ago") from error

    def _is_as_read(self) -> bool:
        try:
            with (self.folder / "digests.txt").open("rb") as digests:
                digests.seek((len(self.lines) - 1) * self.LINE)
                return digests.read(self.LINE) == self.lines[-1]
        except FileNotFoundError:
            return False

    def _damaged(self, mapped: Array, rows: Sequence[int]) -> list[int]:
        """Return those of the rows that are not what their lines say."""
        parts = [rows[i : i + TOGETHER] for i in range(0, len(rows), TOGETHER)]

        def differing(part: Sequence[int]) -> list[int]:
            return [i for i in part if _line(self.lines[i][:32], mapped[i]) != self.lines[i]]

        if len(parts) <= 1:
            return differing(rows)
        with ThreadPoolExecutor(cores()) as pool:  # computing a checksum holds up no other thread
            return [row for part in pool.map(differing, parts) for row in part]

    def _forget(self, rows: Sequence[int]) -> None:
        """Take damaged rows from the index, and from that of others if nobody is writing."""
        if not rows:
            return
        notices.say(
            "damaged",
            "Some of what the cache kept was damaged, and is computed anew: "
            f"{self.folder.parent.name}/{self.folder.name[:12]}.",
        )
        lost = set(rows)
        self.index = {digest: row for digest, row in self.index.items() if row not in lost}
        with (
            contextlib.suppress(OSError),
            locks.held(self.folder, wait=False),
            (self.folder / "digests.txt").open("r+b") as digests,
        ):
            for row in rows:
                digests.seek(row * self.LINE)
                if digests.read(self.LINE) == self.lines[row]:
                    digests.seek(row * self.LINE)
                    digests.write(self.DEAD)
                    self.lines[row] = self.DEAD


class MemoryTable:
    """What a Table is, for one process and for so many images at most: where no disk has room."""

    def __init__(self, images: int, width: int, dtype: str) -> None:
        import numpy as np

        self.width, self.dtype = width, np.dtype(dtype)
        self.index: dict[str, int] = {}
        self._rows = np.empty((images, width), self.dtype)
        self._facts: set[str] = set()

    @property
    def name(self) -> str:
        """What tells this table from others."""
        return f"{id(self):032x}"

    def note(self, fact: str) -> None:
        """Note a fact on what the table holds."""
        self._facts.add(fact)

    def noted(self, fact: str) -> bool:
        """Tell whether a fact was noted."""
        return fact in self._facts

    def check(self, digests: Sequence[str]) -> None:
        """Do nothing: memory is believed."""

    @contextlib.contextmanager
    def writing(self) -> Iterator[Append]:
        """Give `append(digests, rows)`, for images that have no row yet."""
        yield self._append

    def _append(self, names: Sequence[str], values: Array) -> None:
        start = len(self.index)
        self._rows[start : start + len(names)] = values.reshape(len(names), self.width)
        self.index |= {name: row for row, name in enumerate(names, start)}

    def rows(self, digests: Sequence[str]) -> Rows:
        """Return the rows of these images, in this order."""
        import numpy as np

        return Rows(self._rows, np.array([self.index[digest] for digest in digests], "int64"))


@dataclass(frozen=True)
class Rows:
    """An array [n, width] that lies on disk and is read as it is indexed."""

    mapped: Array | Stacked
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
        self.lines = list(table.lines)  # of all rows, those not written yet last
        self.synced = time.monotonic()

    def append(self, names: Sequence[str], values: Array) -> None:
        """Add rows [len(names), width]."""
        import numpy as np

        values = np.ascontiguousarray(values, self.table.dtype)
        values = values.reshape(len(names), self.table.width)
        lines = [
            _line(f"{n:<32}".encode("ascii"), row) for n, row in zip(names, values, strict=True)
        ]
        # an append that was interrupted may have left a part
        _shorten(self.rows, len(self.lines) * self.table.row_bytes)
        _write(self.rows, values.reshape(-1).view(np.uint8).data)
        self.lines += lines
        if time.monotonic() - self.synced >= SYNC:
            self.commit()

    def commit(self) -> None:
        """Make the rows last, then their lines, then tell."""
        if len(self.lines) == len(self.table.lines):
            return
        _sync(self.rows)
        done = os.fstat(self.digests.fileno()).st_size // self.table.LINE
        _shorten(self.digests, done * self.table.LINE)
        _write(self.digests, memoryview(b"".join(self.lines[done:])))
        _sync(self.digests)
        self.table.know(list(self.lines))
        self.synced = time.monotonic()


def _write(file: RawIOBase, data: memoryview) -> None:
    while data:
        data = data[file.write(data) or 0 :]


def _sync(file: RawIOBase) -> None:
    os.fsync(file.fileno())


def _shorten(file: RawIOBase, size: int) -> None:
    if os.fstat(file.fileno()).st_size > size:
        os.ftruncate(file.fileno(), size)


def _line(digest: bytes, row: Array) -> bytes:
    """Return the line of a row: the digest in 32 bytes, the checksum of both."""
    return b"%b %08x\n" % (digest, zlib.crc32(row.data, zlib.crc32(digest)))


def _digest(line: bytes) -> str | None:
    """Return the digest in a line; None where it is none."""
    name = line[:32].rstrip()
    whole = len(line) == Table.LINE and line[32:33] == b" " and line.endswith(b"\n")
    return name.decode("ascii") if whole and name.isalnum() and name.isascii() else None
