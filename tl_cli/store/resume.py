"""What a run keeps until it is finished, so that it can be gone on with: `tl train --resume RUN`.

The configuration as it was asked for, the images, what was decided, the states of the training.
Knows their names and nothing of what they mean.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tl_cli.errors import TLError
from tl_cli.store import locks, reading, replacement, run_process
from tl_cli.store.run_dir import DONE, FILES, HEAD, OURS, REQUEST, RESUME, RUNNING, STATUS, RunDir

FOLDER = RESUME
INPUTS, SETTINGS = f"{FOLDER}/inputs.json", f"{FOLDER}/settings.json"
RACES = f"{FOLDER}/races.json"
OURS_INSIDE = ("*.json", "epoch-*.npz", ".*.json", ".*.npz")  # the hidden ones were cut off


def begin(run: RunDir, config: Mapping[str, Any]) -> None:
    """Keep what was asked for, and from where: paths in it may be relative."""
    (run / FOLDER).mkdir(exist_ok=True)
    run.write_json(REQUEST, {"config": dict(config), "folder": str(Path.cwd())})


def request(run: RunDir) -> tuple[dict[str, Any], Path]:
    """Return what `begin` kept. Raises TLError where it is damaged."""
    try:
        kept = reading.json_of(run / REQUEST)
        return dict(kept["config"]), Path(kept["folder"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(run, REQUEST) from error


def inputs(run: RunDir) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the classes of a run and what was said of its images; None where it came not so far.

    Raises TLError where that is damaged.
    """
    said = kept(run, INPUTS)
    if said is None:
        return None
    try:
        classes, notes = tuple(said["classes"]), tuple(said["notes"])
    except (KeyError, TypeError) as error:
        raise damaged(run, INPUTS) from error
    if not all(isinstance(text, str) for text in classes + notes):
        raise damaged(run, INPUTS)
    return classes, notes


def kept(run: RunDir, name: str) -> Any:
    """Return what a JSON file holds; None where it is not there or cannot be read."""
    try:
        return reading.json_of(run / name)
    except (OSError, ValueError):
        return None


def damaged(run: RunDir, name: str) -> TLError:
    """Return the error for a file of `FOLDER` that is not what was written there."""
    return TLError(f"{run / name} is damaged", "train anew, with --overwrite")


def unfinished(path: Path) -> RunDir:
    """Return the run at a path, or the one that was to replace it and was cut off before it did.

    Changes nothing but what a swap left half-way. Raises TLError where there is nothing to go on
    with, or where another process goes on with it now.
    """
    final = path.resolve()
    replacement.finish_swaps(final, OURS)
    beside = [new for new in replacement.left_over(final) if (new / REQUEST).is_file()]
    run = RunDir(beside[-1], final) if beside else RunDir(path)
    if not (run / STATUS).is_file() and not (run / REQUEST).is_file():
        raise TLError(
            f"there is no run of tl at {path}", "give the run directory of a training to go on with"
        )
    if run.state() != DONE and not (run / REQUEST).is_file():
        raise TLError(
            f"the run in {path} keeps nothing that could be gone on with ({run.state()})",
            f"train anew: tl train --config {path / 'config.yaml'} --overwrite --output {path}",
        )
    if (run / FOLDER).is_symlink():  # it is somebody else's, and would be written to
        raise damaged(run, FOLDER)
    _check_free(run)
    return run


def claim(run: RunDir) -> None:
    """Make the run this process's own. Raises TLError where another one was faster."""
    try:
        with locks.held(run.path, wait=False, signed=False):
            _check_free(run)
            _remove_half_written(run)
            run.status(RUNNING)
    except BlockingIOError:
        raise _taken(run) from None


def forget(run: RunDir) -> None:
    """Remove what was kept, once the run is finished."""
    folder = run / FOLDER
    for pattern in OURS_INSIDE:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it is not there, or holds what is not ours
        folder.rmdir()


def _remove_half_written(run: RunDir) -> None:
    """Remove what a process that was killed was writing beside the files of a run."""
    for path in run.path.glob(".*"):
        first, _, second = path.name[1:].partition(".")
        name, _, last = path.name[1:].rpartition(".")
        if (first.isdecimal() and second in FILES) or (last.isdecimal() and name in FILES):
            path.unlink(missing_ok=True)


def _check_free(run: RunDir) -> None:
    said = kept(run, STATUS)
    if not isinstance(said, dict) or said.get("state") not in (RUNNING, HEAD) or "ended" in said:
        return
    if said.get("pid") != os.getpid() and run_process.lives(said):
        raise _taken(run)


def _taken(run: RunDir) -> TLError:
    return TLError(
        f"the run in {run.final_path} is being trained by another process now", "wait for it"
    )
