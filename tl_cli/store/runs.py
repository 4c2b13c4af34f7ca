"""The runs below a folder, each in a line. Reads files that may be anything; changes none.

Knows the names of the keys in a run's files, and nothing of how they came about.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tl_cli import flat_yaml
from tl_cli.errors import TLError
from tl_cli.results.runs import RunLine
from tl_cli.store import reading, replacement, run_dir, run_process
from tl_cli.store.marker import is_ours
from tl_cli.store.run_dir import HEAD, RUNNING, RunDir


def listed(folder: Path) -> list[RunLine]:
    """Return the runs below a folder, or the folder itself, the oldest first."""
    lines = [line(RunDir(path)) for path in places(folder)]
    return sorted(lines, key=lambda each: (each.date or 0.0, each.run))


def places(folder: Path) -> Iterator[Path]:
    """Yield the run directories; neither links nor hidden folders nor runs are gone into."""
    if _is_run(folder):
        yield folder
        return
    try:
        below = sorted(entry.name for entry in os.scandir(folder) if _is_place(entry))
    except OSError:  # it cannot be looked into
        return
    for name in below:
        yield from places(folder / name)


def _is_run(folder: Path) -> bool:
    """Tell whether a folder is a run, whatever became of its status file."""
    status = os.path.isfile(folder / run_dir.STATUS)  # noqa: PTH113  # no error where forbidden
    return replacement.is_run(folder) or (status and is_ours(folder))


def _is_place(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)


def line(run: RunDir) -> RunLine:
    """Return what a run's files say of it."""
    said, plan = _mapping(run / run_dir.STATUS), _mapping(run / run_dir.PLAN)
    found, config = _mapping(run / run_dir.METRICS), _config(run)
    split, measured = _measured(found)
    state = run.state()
    at_work = state in (RUNNING, HEAD) and "ended" not in said and run_process.lives(said)
    new = [path for path in replacement.left_over(run.path) if (path / run_dir.REQUEST).is_file()]
    way_on = RunDir(new[-1], run.path).way_on if new else run.way_on
    return RunLine(
        run=str(run.path),
        state=state,
        running=at_work,
        date=_began(run, said),
        data=_text(config, "data"),
        backbone=_text(plan, "backbone"),
        strategy=_text(plan, "strategy"),
        freeze_ratio=_number(plan, "freeze_ratio"),
        kept=_text(_inside(found, "tune"), "kept"),
        split=split,
        n=_count(measured, "n"),
        accuracy=_number(measured, "accuracy"),
        mae=_number(measured, "mae"),
        mean_average_precision=_number(measured, "mean_average_precision"),
        seconds=_number(_inside(found, "seconds"), "total"),
        resume="" if at_work else way_on,
        replaced=bool(new),
    )


def _measured(found: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the figures on the test images; else on those of validation."""
    metrics = _inside(found, "metrics")
    split = next((split for split in ("test", "val") if _inside(metrics, split)), "")
    return split, _inside(metrics, split)


def _began(run: RunDir, said: Mapping[str, Any]) -> float | None:
    """Return when the process began that wrote the status, else when that was written."""
    if began := _number(said, "started"):
        return began
    with contextlib.suppress(OSError):
        return (run / run_dir.STATUS).stat().st_mtime
    return None


def _mapping(path: Path) -> Mapping[str, Any]:
    """Return a JSON file's object; an empty one where there is none, or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        value = reading.json_of(path)
        if isinstance(value, dict):
            return value
    return {}


def _config(run: RunDir) -> Mapping[str, Any]:
    """Return the configuration: as it was decided, else as it was asked for."""
    with contextlib.suppress(TLError):
        if values := flat_yaml.read(run / run_dir.CONFIG):
            return values
    return _inside(_mapping(run / run_dir.REQUEST), "config")


def _inside(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def _text(value: Mapping[str, Any], key: str) -> str:
    inner = value.get(key)
    return inner if isinstance(inner, str) else ""


def _number(value: Mapping[str, Any], key: str) -> float | None:
    inner = value.get(key)
    if isinstance(inner, bool) or not isinstance(inner, int | float):
        return None
    with contextlib.suppress(OverflowError):
        return float(inner) if math.isfinite(inner) else None
    return None


def _count(value: Mapping[str, Any], key: str) -> int | None:
    number = _number(value, key)
    return None if number is None else int(number)
