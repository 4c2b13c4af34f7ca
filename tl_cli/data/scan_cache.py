"""What was seen in image files before, in one SQLite file; two processes may use it at once.

Only good images are remembered: a bad file may become readable with another version of Pillow.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tl_cli.data import channels, packed
from tl_cli.data.faults import Fault

FILE = "scan.sqlite"
TABLE = "looks_5"  # another number whenever a look comes to mean something else
WAIT = 30.0  # seconds for another process to finish its write
EVERY = 5.0  # seconds of looks that a killed process may lose; each write is synced to the disk


class FileState(NamedTuple):
    """A file in one state: `cp -p`, rsync and git keep sizes and times, but not all of this."""

    path: bytes  # as bytes: a name need not be valid text
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: bytes  # device and number; SQLite's integers are too small for some


def state_of(path: str) -> FileState | None:
    """Return what tells whether a file has changed; None where there is none."""
    try:
        state = os.stat(packed.file_of(path))  # noqa: PTH116  # 100,000 Paths take a second
    except (OSError, ValueError, Fault):
        return None
    inode = f"{state.st_dev}:{state.st_ino}".encode()
    return FileState(os.fsencode(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns, inode)


class ScanEntry(NamedTuple):
    """What one look at an image file found."""

    digest: str
    width: int
    height: int
    mode: str
    orientation: int
    phash: str
    group: str = ""  # what the file says of whom it shows (see dicom.py)


class ScanCache:
    """Looks by the state of the file; without a folder, or where it cannot be used, it is empty."""

    def __init__(self, folder: Path | None) -> None:
        self._base = _opened(folder) if folder else None
        self._fresh: list[tuple[object, ...]] = []
        self._written = time.monotonic()

    def __enter__(self) -> ScanCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._base:
            self._write(self._base)
            self._base.close()

    def recall(self, states: Sequence[FileState]) -> dict[FileState | None, ScanEntry]:
        """Return the looks at those files that have not changed since."""
        if not self._base or not states:
            return {}
        marks = ", ".join("?" * len(states))
        query = f"SELECT * FROM {_table()} WHERE path IN ({marks})"
        try:
            rows = self._base.execute(query, [state.path for state in states]).fetchall()
        except sqlite3.Error:
            return {}
        wanted = set(states)
        known = {FileState(*r[:5]): ScanEntry(*r[5:-1]) for r in rows if r[-1] == _check(r[:-1])}
        return {seen: look for seen, look in known.items() if seen in wanted}

    def remember(self, looks: Iterable[tuple[FileState | None, ScanEntry | str]]) -> None:
        """Keep the looks at good images; a memory that cannot be written is no error."""
        if not self._base:
            return
        self._fresh += (
            (*(row := (*seen, *look)), _check(row))
            for seen, look in looks
            if seen and isinstance(look, ScanEntry)
        )
        if time.monotonic() - self._written >= EVERY:
            self._write(self._base)

    def _write(self, base: sqlite3.Connection) -> None:
        rows, self._fresh = self._fresh, []
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            with contextlib.suppress(sqlite3.Error), base:
                base.executemany(f"INSERT OR REPLACE INTO {_table()} VALUES ({marks})", rows)
        self._written = time.monotonic()


def erase(folder: Path, digests: Iterable[str]) -> int:
    """Forget all looks at images of these contents; return how many. Raises OSError.

    Their bytes are overwritten, in the file and in what SQLite keeps beside it.
    """
    if not (folder / FILE).is_file():
        return 0
    try:
        with contextlib.closing(sqlite3.connect(folder / FILE, timeout=WAIT)) as base:
            base.execute("PRAGMA secure_delete = ON")
            tables = base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            with base:
                gone = sum(
                    base.executemany(
                        f'DELETE FROM "{name}" WHERE digest = ?', ([digest] for digest in digests)
                    ).rowcount
                    for (name,) in tables
                )
            base.execute("VACUUM")
            return gone
    except sqlite3.Error as error:
        raise OSError(f"{folder / FILE}: {error}") from error


def _table() -> str:
    """Return the table's name: of one file, other bands are another image."""
    return "_".join([TABLE, *map(str, channels.in_use() or ())])


def _check(row: Sequence[object]) -> int:
    """Return a checksum of what is remembered of a file: a damaged digest would be believed."""
    return zlib.crc32(repr(row).encode())


def _opened(folder: Path) -> sqlite3.Connection | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _begun(folder / FILE)
    except (sqlite3.Error, OSError):  # locked for long, or a folder that cannot be written
        return None


def _begun(file: Path) -> sqlite3.Connection:
    try:
        return _connected(file)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:  # not a database: it is only a memory, begin a new one
        file.unlink(missing_ok=True)
        return _connected(file)


def _connected(file: Path) -> sqlite3.Connection:
    base = sqlite3.connect(file, timeout=WAIT)
    try:
        base.execute(
            f"CREATE TABLE IF NOT EXISTS {_table()} (path BLOB PRIMARY KEY, size INTEGER,"
            " mtime_ns INTEGER, ctime_ns INTEGER, inode BLOB, digest TEXT, width INTEGER,"
            " height INTEGER, mode TEXT, orientation INTEGER, phash TEXT, subject TEXT,"
            " checksum INTEGER)"
            " WITHOUT ROWID"
        )
    except BaseException:
        base.close()
        raise
    return base
