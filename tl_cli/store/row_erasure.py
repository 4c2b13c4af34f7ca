"""Rows of images that somebody wants out: overwritten where they lie, and then their lines.

Also those that were found damaged and are used no more, whosever they were. Knows tables as files:
how wide a row is follows from them.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection
from io import BufferedRandom
from pathlib import Path

from tl_cli.store import cache, locks
from tl_cli.store.rows import Table

CHUNK = 1 << 20  # zeros that are written at once


def erase(folder: Path, digests: Collection[str]) -> int:
    """Overwrite what a table keeps of these images; return how many rows that were.

    Waits for who is writing it. The rows go first, on the disk, then the lines that name them: cut
    off in between, it is found and done again. A table whose rows cannot be told apart is removed
    as a whole. Raises OSError, and TimeoutError where a writer is stuck.
    """
    wanted = {f"{digest:<32}".encode("ascii") for digest in digests}
    with locks.held(folder):
        lines = _lines(folder)
        named = [i for i, line in enumerate(lines) if line[:32] in wanted]
        dead = [i for i, line in enumerate(lines) if line == Table.DEAD]
        width = _row_bytes(folder, lines) if named else 0
        if named and width:
            _overwrite(folder, [*named, *dead], named, width)
    if named and not width and not cache.remove(folder):
        raise OSError(f"{folder} is damaged, and could not be removed")
    return len(named)


def _lines(folder: Path) -> list[bytes]:
    try:
        text = (folder / "digests.txt").read_bytes()
    except FileNotFoundError:
        return []
    return [text[i : i + Table.LINE] for i in range(0, len(text), Table.LINE)]


def _row_bytes(folder: Path, lines: list[bytes]) -> int:
    """Return the bytes of a row, as a row that is sound confirms; 0 where none does."""
    size = (folder / "rows.bin").stat().st_size
    width = size // len(lines)
    if not width or size % len(lines):  # a writer was killed: rows beyond the last line
        return 0
    with (folder / "rows.bin").open("rb") as rows:
        for i, line in enumerate(lines):
            rows.seek(i * width)
            if line[33:41] == b"%08x" % zlib.crc32(rows.read(width), zlib.crc32(line[:32])):
                return width
    return 0


def _overwrite(folder: Path, rows: list[int], lines: list[int], width: int) -> None:
    with (folder / "rows.bin").open("r+b") as file:
        for row in rows:
            file.seek(row * width)
            _zeros(file, width)
        _sync(file)
    with (folder / "digests.txt").open("r+b") as file:
        for row in lines:
            file.seek(row * Table.LINE)
            file.write(Table.DEAD)
        _sync(file)


def _zeros(file: BufferedRandom, count: int) -> None:
    for start in range(0, count, CHUNK):
        file.write(bytes(min(CHUNK, count - start)))


def _sync(file: BufferedRandom) -> None:
    file.flush()
    os.fsync(file.fileno())
