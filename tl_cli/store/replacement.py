"""A folder built beside an old one, which it replaces as a whole or not at all.

What a process that died left beside is put right by the next one. Knows nothing of what a folder
holds, but for the name of the file that marks it as ours and says which process builds it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path

from tl_cli.store import reading, run_process

MARKER = "status.json"
NEW, OLD = "new", "old"
EXPORTS, EXPLANATIONS = "export", "explain"
INSIDE = {  # what tl calls its files in a run's folders if nobody else does
    EXPORTS: re.compile(r"(model|saved_model)\b"),
    EXPLANATIONS: re.compile(r"\.tl$|sheet\.html$|.*\.gradcam\.png$"),
}


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
    finish_swaps(final, names)
    for new in left_over(final):
        shutil.rmtree(new, ignore_errors=True)


def left_over(final: Path) -> list[Path]:
    """Return what processes that died were building to replace `final`."""
    return [new for new, _ in _siblings(final, NEW) if _is_left_over(new)]


def finish_swaps(final: Path, names: Collection[str]) -> None:
    """Finish or undo the replacements of `final` that were cut off half-way."""
    for old, pid in _siblings(final, OLD):
        if pid == os.getpid() or not run_process.exists(pid):
            if final.exists():
                _dissolve(old, final, names)
            else:
                old.rename(final)


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
        builder = reading.json_of(new / MARKER)
        return run_process.is_own(builder) or not run_process.lives(builder)
    except (OSError, ValueError, AttributeError):  # it cannot be known
        return False


def _dissolve(old: Path, final: Path, names: Collection[str]) -> None:
    """Remove an old folder; what is not called by one of `names` moves to the new one.

    So does what lies in a folder of INSIDE and is not called as ours. A file whose name
    the new folder has too gets another name.
    """
    for entry in old.iterdir():
        ours = INSIDE.get(entry.name)
        if ours and entry.is_dir() and not entry.is_symlink():
            for inner in entry.iterdir():
                if not ours.match(inner.name):
                    (final / entry.name).mkdir(exist_ok=True)
                    inner.rename(_free(final / entry.name / inner.name))
        elif not (entry.name in names or _is_unfinished(entry.name, names)):
            entry.rename(_free(final / entry.name))
    shutil.rmtree(old, ignore_errors=True)


def _is_unfinished(name: str, names: Collection[str]) -> bool:
    """Tell whether a process that died was writing this beside a file of ours, or exporting it."""
    begun = re.fullmatch(r"\.\d+\.(.+)", name)
    return bool(begun and begun[1] in names) or name.startswith(".export-")


def _free(place: Path) -> Path:
    """Return a name that nothing has yet: this one, or with `.kept`, `.kept-2`, ... behind it."""
    ends = ("" if n == 0 else ".kept" if n == 1 else f".kept-{n}" for n in count())
    names = (place.with_name(place.name + end) for end in ends)
    return next(name for name in names if not os.path.lexists(name))


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run: it has the file that says so, or what a run is made of."""
    try:
        if not reading.text_of(folder / MARKER, reading.MOST_JSON).strip():  # made a moment ago
            return True
        said = reading.json_of(folder / MARKER)
        return isinstance(said, dict) and "state" in said
    except ValueError:  # damaged, or another program's
        pass
    except OSError:
        pass
    return all((folder / name).is_file() for name in ("config.yaml", "manifest.csv"))
