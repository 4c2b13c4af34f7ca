"""A folder built beside an old one, which it replaces as a whole or not at all.

What a process that died left beside is put right by the next one. Knows nothing of what a folder
holds, but for the name of the file that marks it as ours and says which process builds it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from tl_cli.store import run_process

MARKER = "status.json"
NEW, OLD = "new", "old"


def begin(final: Path) -> Path:
    """Return a new hidden folder beside `final`, in which what replaces it can be built."""
    new = _beside(final, NEW)
    new.mkdir()
    return new


def swap(new: Path, final: Path, names: Collection[str]) -> None:
    """Put `new` in the place of `final`, of which only what is not called by one of `names` stays.

    Raises OSError where that cannot be; then `final` is as it was.
    """
    old = _beside(final, OLD)
    final.rename(old)
    try:
        new.rename(final)
    except BaseException:
        old.rename(final)
        raise
    _dissolve(old, final, names)


def mend(final: Path, names: Collection[str]) -> None:
    """Finish or undo what processes that died were doing to `final`, and remove what they built."""
    for old, pid in _siblings(final, OLD):
        if pid == os.getpid() or not run_process.exists(pid):
            if final.exists():
                _dissolve(old, final, names)
            else:
                old.rename(final)
    for new, _ in _siblings(final, NEW):
        if _is_left_over(new):
            shutil.rmtree(new, ignore_errors=True)


def _beside(final: Path, kind: str) -> Path:
    return final.with_name(f".{final.name}.{kind}-{os.getpid()}")


def _siblings(final: Path, kind: str) -> Iterator[tuple[Path, int]]:
    """Yield the hidden folders of that kind beside `final`, and which process made each."""
    start = f".{final.name}.{kind}-"
    there = sorted(final.parent.iterdir()) if final.parent.is_dir() else []
    for path in there:
        number = path.name.removeprefix(start)
        if path.name.startswith(start) and number.isdecimal() and (path / MARKER).is_file():
            yield path, int(number)


def _is_left_over(new: Path) -> bool:
    try:
        builder = json.loads((new / MARKER).read_text(encoding="utf-8"))
        return run_process.is_own(builder) or not run_process.lives(builder)
    except (OSError, ValueError, AttributeError):  # it cannot be known
        return False


def _dissolve(old: Path, final: Path, names: Collection[str]) -> None:
    """Remove an old folder; what is not called by one of `names` moves to the new one."""
    for entry in old.iterdir():
        hidden = entry.name.startswith(".")
        if not (hidden or entry.name in names or os.path.lexists(final / entry.name)):
            entry.rename(final / entry.name)
    shutil.rmtree(old, ignore_errors=True)
