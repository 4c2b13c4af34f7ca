"""Where a run's files lie, and the one door to disk: files are written beside, synced, replaced.

Knows the names of the files and nothing of what they mean.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_cli.errors import TLError

CONFIG, MANIFEST, BAD_FILES, PLAN = "config.yaml", "manifest.csv", "bad_files.csv", "plan.json"
HISTORY, METRICS, LABELS = "history.csv", "metrics.json", "labels.json"
PREDICTIONS, REPORT, GRADIENTS = "predictions.csv", "report.html", "gradients.csv"
ENVIRONMENT, STATUS = "environment.json", "status.json"
CHECKPOINT, WEIGHTS, EXPORTED = "checkpoint.json", "checkpoint.weights.h5", "model.keras"
HELD_OUT = "held_out.npy"  # probabilities of the validation images, by what was fitted without them
FILES = (
    CONFIG, MANIFEST, BAD_FILES, PLAN, HISTORY, METRICS, LABELS, ENVIRONMENT, STATUS,
    CHECKPOINT, WEIGHTS, EXPORTED, PREDICTIONS, REPORT, GRADIENTS, HELD_OUT,
)  # fmt: skip


@dataclass(frozen=True)
class RunDir:
    """One run's directory."""

    path: Path

    @classmethod
    def create(cls, path: Path, *, overwrite: bool = False) -> RunDir:
        """Make the directory, or take an old run's place with `overwrite`.

        Raises TLError where a run is there already, where something else is, or where the place
        cannot be written to.
        """
        run = cls(path)
        try:
            run.check(overwrite=overwrite)
            for name in FILES:
                (path / name).unlink(missing_ok=True)
            path.mkdir(parents=True, exist_ok=True)
            run.status("running")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise TLError(
                f"cannot write to the run directory {path}: {error.strerror}",
                "choose another with --output",
            ) from error
        return run

    def check(self, *, overwrite: bool = False) -> None:
        """Raise TLError where a run is there already, or something else; write nothing."""
        try:
            present = {p.name for p in self.path.iterdir()} if self.path.is_dir() else set()
        except OSError:  # `create` says what is wrong with it
            return
        if not present:
            return
        if not {STATUS, CONFIG} & present:
            raise TLError(
                f"{self.path} is not empty and holds no run of tl", "choose another --output"
            )
        if not overwrite:
            raise TLError(
                f"{self.path} holds a run already ({self.state()})",
                "choose another --output, or replace it with --overwrite",
            )

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def status(self, state: str, **facts: Any) -> None:
        """Say how the run stands: running, done, interrupted or failed."""
        self.write_json(STATUS, {"state": state, **facts})

    def need(self, size: int) -> None:
        """Raise TLError where fewer than `size` bytes are free: better now than after training."""
        free = shutil.disk_usage(self.path).free
        if free < size:
            raise TLError(
                f"{free / 1e6:.0f} MB are free at {self.path}, and about "
                f"{size / 1e6:.0f} MB are needed",
                "make room, choose another --output, or clear what tl keeps: tl cache --clear",
            )

    def state(self) -> str:
        """Return how the run stands, as it was last said."""
        try:
            return str(json.loads((self / STATUS).read_text())["state"])
        except (OSError, ValueError, KeyError):
            return "unknown"

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file as a whole or not at all; paths keep bytes that are not UTF-8."""
        with self.replacing(name) as beside:
            beside.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        return self / name

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file as a whole or not at all."""
        return self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """Give a path beside `name` to write to; sync it and put it in place if all went well."""
        with replacing(self / name) as beside:
            yield beside


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success sync and rename it, else remove it."""
    beside = path.with_name(f".{os.getpid()}.{path.name}")  # keeps the suffix, which Keras reads
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def free_name(folder: Path, name: str) -> Path:
    """Return folder/name, or folder/name-2, -3, ... if that is taken."""
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}"
    return path


def checkpoint_of(path: Path) -> RunDir:
    """Return the run of a CHECKPOINT argument: a run directory or the checkpoint in it.

    Raises TLError where there is none, or where its training did not come to a checkpoint.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise TLError(f"no checkpoint at {path}", "give a run directory that tl train has written")
    if path.is_file() and path.name not in (CHECKPOINT, WEIGHTS, EXPORTED):
        raise TLError(
            f"{path} is not a checkpoint of tl", f"give the run directory or {CHECKPOINT}"
        )
    run = RunDir(folder)
    if not (run / CHECKPOINT).is_file():
        state = run.state()
        raise TLError(
            f"{folder} holds no {CHECKPOINT}"
            + (f" (the run there is {state})" if state != "unknown" else ""),
            "give a run directory that tl train has finished",
        )
    return run
