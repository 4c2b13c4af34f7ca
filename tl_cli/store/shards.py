"""Shares of one pass over images: which one a process does, where it lies, whether it is done.

The contract that any scheduler keeps to is this folder of the cache and no more: `shards/` holds,
for each table of features and each share, a folder with rows, their list of digests (see rows.py)
and, once all of it is there, a marker. Knows nothing of networks, Slurm's daemons and Ray.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tl_cli.errors import TLError
from tl_cli.store import cache_folder, reading
from tl_cli.store.joined_tables import JoinedTable
from tl_cli.store.rows import Table

Item = TypeVar("Item")

KIND = "shards"
MARKER = "done.json"  # written last, whole or not at all: the shard has a row of each of its images
FOLDER = re.compile(r"([0-9a-f]{32})-(\d+)-of-(\d+)")
AUTO = "auto"
MOST = 99_999
SLURM = ("ID", "MIN", "MAX", "STEP", "COUNT")  # SLURM_ARRAY_TASK_...
HINT = "give I/N, such as --shard 1/4 to --shard 4/4, or --shard auto in a Slurm job array"


@dataclass(frozen=True, order=True)
class Shard:
    """One of `count` shares, numbered from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def part(self, items: Sequence[Item], together: int) -> Sequence[Item]:
        """Return this share of the items: neighbours, of which each `together` stay in one share.

        All shares in order are the items. Whole batches stay as one process would make them.
        """
        batches = -(-len(items) // together)
        first, last = (batches * n // self.count for n in (self.number - 1, self.number))
        return items[first * together : last * together]


def parsed(text: str, environment: Mapping[str, str] | None = None) -> Shard:
    """Return what `I/N` names, or with `auto` this task of a Slurm job array. Raises TLError."""
    if text.strip().lower() == AUTO:
        return _of_slurm(os.environ if environment is None else environment)
    found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
    if not found:
        raise TLError(f"--shard {text} is no share", HINT)
    number, count = int(found[1]), int(found[2])
    if not 1 <= number <= count <= MOST:
        raise TLError(f"--shard {text}: shares are numbered from 1 to their count", HINT)
    return Shard(number, count)


def _of_slurm(environment: Mapping[str, str]) -> Shard:
    """Return the task of an array `--array=FIRST-LAST[:STEP]`."""
    said = [environment.get(f"SLURM_ARRAY_TASK_{name}", "") for name in SLURM]
    said[3] = said[3] or "1"
    if not all(text.isdecimal() for text in said):
        raise TLError("--shard auto goes by SLURM_ARRAY_TASK_ID, and this is no job array", HINT)
    task, least, most, step, count = map(int, said)
    if step < 1 or (most - least) // step + 1 != count or (task - least) % step:
        raise TLError("--shard auto needs a job array without gaps, such as --array=1-8", HINT)
    return Shard((task - least) // step + 1, count)


def place(key: str, shard: Shard) -> Path:
    """Return the folder of a shard of a table; not made. Raises OSError where there is no cache."""
    width = len(str(MOST))
    name = f"{key}-{shard.number:0{width}d}-of-{shard.count:0{width}d}"
    return cache_folder.kind_folder(KIND) / name


def finish(folder: Path, images: int) -> None:
    """Mark a shard as done, at once or not at all; `images`: those that it answers for."""
    folder.mkdir(exist_ok=True)
    lines = 0
    with contextlib.suppress(FileNotFoundError):  # where others have made all of its rows
        lines = (folder / "digests.txt").stat().st_size // Table.LINE
    beside = folder / f".{MARKER}.{os.getpid()}"
    try:
        with beside.open("w", encoding="utf-8") as file:
            json.dump({"images": images, "rows": lines}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(folder / MARKER)
    finally:
        beside.unlink(missing_ok=True)


def is_done(folder: Path) -> bool:
    """Tell whether a shard is marked, and has as many rows as its marker says."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        rows = int(reading.json_of(folder / MARKER)["rows"])
        return not rows or rows * Table.LINE <= (folder / "digests.txt").stat().st_size
    return False


def counts(key: str) -> dict[int, list[int]]:
    """Return which shards are done, by how many there are to be."""
    by_count: dict[int, list[int]] = {}
    for shard, folder in _found(key):
        by_count.setdefault(shard.count, []).extend([shard.number] * is_done(folder))
    return {count: sorted(numbers) for count, numbers in by_count.items()}


def missing(key: str) -> str:
    """Say of how many shards of a table some are not done; "" where none is missing."""
    for count, numbers in counts(key).items():
        if len(numbers) < count:
            return f"{len(numbers):,} of {count:,} shards are done"
    return ""


def _found(key: str) -> list[tuple[Shard, Path]]:
    with contextlib.suppress(OSError):
        root = cache_folder.kind_folder(KIND)
        named = ((FOLDER.fullmatch(path.name), path) for path in root.iterdir())
        return [(Shard(int(n[2]), int(n[3])), path) for n, path in named if n and n[1] == key]
    return []


def joined(own: Table, key: str, *more: Table) -> Table | JoinedTable:
    """Return a table read together with all done shards of this key, and with `more`."""
    others = [
        Table(folder, own.width, own.dtype.name)
        for _, folder in sorted(_found(key))
        if folder != own.folder and is_done(folder)
    ]
    others = [table for table in (*more, *others) if table.index]
    return JoinedTable(own, others) if others else own
