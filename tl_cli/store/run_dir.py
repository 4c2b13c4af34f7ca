"""Where a run's files lie, and the one door to disk: files are written beside, synced, replaced.

Knows the names of the files and nothing of what they mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tl_cli.errors import TLError
from tl_cli.store import checkpoint, reading, replacement, run_process
from tl_cli.store.file_names import shortened
from tl_cli.store.output import writing_to

CONFIG, MANIFEST, BAD_FILES, PLAN = "config.yaml", "manifest.csv", "bad_files.csv", "plan.json"
HISTORY, METRICS, LABELS = "history.csv", "metrics.json", "labels.json"
PREDICTIONS, REPORT, GRADIENTS = "predictions.csv", "report.html", "gradients.csv"
ENVIRONMENT, STATUS = "environment.json", replacement.MARKER
CHECKPOINT, WEIGHTS, EXPORTED = "checkpoint.json", "checkpoint.weights.h5", "model.keras"
HELD_OUT = "held_out.npy"  # probabilities of the validation images, by what was fitted without them
UNKNOWN_SCORE = "unknown.npz"  # what tells images unlike the training images: see unknown_file.py
MAP = "map.csv"  # where images lie on the page's map: see results/data_map.py
FILES = (
    CONFIG, MANIFEST, BAD_FILES, PLAN, HISTORY, METRICS, LABELS, ENVIRONMENT, STATUS,
    CHECKPOINT, WEIGHTS, EXPORTED, PREDICTIONS, REPORT, GRADIENTS, HELD_OUT,
    UNKNOWN_SCORE, MAP,
)  # fmt: skip


# what commands draw and export into a run, beside FILES: it goes when the run is replaced
PICTURES = (
    "confusion.png", "reliability.png", "roc.png", "precision_recall.png", "comparison.png",
    "gradients.png",
)  # fmt: skip
EXPORTS, EXPLANATIONS = replacement.EXPORTS, replacement.EXPLANATIONS
TENSORBOARD = "tensorboard"  # the folder of `--track tensorboard`
RESUME = "resume"  # what an unfinished run is gone on with: see resume.py
REQUEST = f"{RESUME}/request.json"
ROOM = 32  # bytes that a run's name leaves for a number, and for the folder built beside it
OURS = (*FILES, *PICTURES, EXPORTS, EXPLANATIONS, TENSORBOARD, RESUME)
# How a run stands: HEAD has saved its solved head, and the tuning goes on or was cut off; DIED is
# never written, it is what RUNNING is once the process is gone.
RUNNING, HEAD, DONE = "running", "head", "done"
INTERRUPTED, FAILED, DIED = "interrupted", "failed", "died"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class RunDir:
    """One run's directory."""

    path: Path
    final: Path | None = None  # the place of an old run that it takes when it is published
    made: bool = field(default=False, compare=False)  # whether the directory was made for it

    @classmethod
    def create(cls, path: Path, *, overwrite: bool = False, made: bool = False) -> RunDir:
        """Make the directory; with `overwrite` and an old run there, one beside: see `publish`.

        `made`: whether the caller made it a moment ago.

        Raises TLError where a run is there already, where something else is, or where the place
        cannot be written to. Of two processes that want the same place one gets it.
        """
        with _writing_run(path):
            replacement.mend(_resolved(path), OURS)
            RunDir(path).check(overwrite=overwrite)
            if replacement.is_run(path):
                run = cls._beside(_resolved(path))
            else:
                run = cls(path, made=made or not path.exists())
                path.mkdir(parents=True, exist_ok=True)
                run._claim()
            try:
                run.status(RUNNING)
            except BaseException:
                run.discard()
                raise
        return run

    @classmethod
    def create_named(cls, folder: Path, name: str) -> RunDir:
        """Make folder/name, or folder/name-2, -3, ... where that is taken, even a moment ago."""
        with _writing_run(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for number in count(1):
                path = folder / (name if number == 1 else f"{name}-{number}")
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
                return cls.create(path, made=True)
        raise AssertionError("there are numbers without end")

    @classmethod
    def _beside(cls, final: Path) -> RunDir:
        if final.is_mount():
            raise TLError(
                f"{final} is where a disk is mounted, and cannot be replaced as a whole",
                "choose another --output",
            )
        return cls(replacement.begin(final), final)

    def _claim(self) -> None:
        """Make STATUS; raise TLError where another process did so since `check`."""
        try:
            (self / STATUS).open("x").close()
        except FileExistsError:
            self.check()

    @property
    def final_path(self) -> Path:
        """Where the run will lie in the end."""
        return self.final or self.path

    def publish(self) -> RunDir:
        """Put a run that was built beside an old one in its place; return it there.

        Of the old one only what tl did not write stays, in the new one. Raises TLError where that
        cannot be: then the old one is as it was, and the new one is where it was built.
        """
        if not self.final:
            return self
        try:
            RunDir(self.final).check(overwrite=True)
            replacement.swap(self.path, self.final, OURS)
        except (OSError, TLError) as error:
            raise TLError(
                f"the run in {self.final} could not be replaced: {error}",
                f"the new one is whole, in {self.path}",
            ) from error
        return RunDir(self.final)

    def discard(self) -> None:
        """Remove a run that was built beside an old one, which stays; any other is left alone.

        One in which a checkpoint was saved is left too: the next one that is built there removes
        it.
        """
        if self.final and not (self / CHECKPOINT).is_file():
            shutil.rmtree(self.path, ignore_errors=True)

    def withdraw(self) -> None:
        """Remove a run in which nothing was computed yet, and its directory where it was made."""
        if self.final:
            self.discard()
            return
        for name in (STATUS, REQUEST):
            (self / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is in it
            (self / RESUME).rmdir()
            if self.made:
                self.path.rmdir()

    def check(self, *, overwrite: bool = False) -> None:
        """Raise TLError where a run is there already, or something else; write nothing."""
        try:
            present = {p.name for p in self.path.iterdir()} if self.path.is_dir() else set()
        except OSError:  # `create` says what is wrong with it
            return
        if not present:
            return
        if not replacement.is_run(self.path):
            raise TLError(
                f"{self.path} is not empty and holds no run of tl", "choose another --output"
            )
        if not overwrite:
            way = f", or go on with it: {self.way_on}" if self.way_on else ""
            raise TLError(
                f"{self.path} holds a run already ({self.state()})",
                f"choose another --output, or replace it with --overwrite{way}",
            )

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def status(self, state: str, **facts: Any) -> None:
        """Say how the run stands: RUNNING, HEAD, DONE, INTERRUPTED or FAILED."""
        self.write_json(STATUS, {"state": state, **run_process.describe(), **facts})

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
        """Return how the run stands, as it was last said; DIED where nobody is left to say."""
        try:
            said = reading.json_of(self / STATUS)
            state = said["state"]
        except (OSError, ValueError, KeyError, TypeError):
            return UNKNOWN
        if state not in (RUNNING, HEAD, DONE, INTERRUPTED, FAILED):
            return UNKNOWN
        return DIED if state == RUNNING and not run_process.lives(said) else state

    @property
    def way_on(self) -> str:
        """The command that goes on with the run; "" where it is finished or keeps too little."""
        if self.state() == DONE or not (self / REQUEST).is_file():
            return ""
        return f"tl train --resume {shlex.quote(str(self.final_path))}"

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
    # keeps the suffix, which Keras reads
    beside = path.with_name(shortened(f".{os.getpid()}.{path.stem}", path.suffix))
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _writing_run(path: Path) -> AbstractContextManager[None]:
    return writing_to(f"the run directory {path}", "choose another with --output")


def name_for(source: str) -> str:
    """Return what a run on these data is called: by the folder, the table or the data set."""
    path = Path(source).expanduser()
    if path.is_dir():  # a name may have dots: flowers.v1.5
        name = path.resolve().name
    else:
        name = path.stem if path.is_file() else Path(source.split(":")[-1]).name
    return shortened(name or "run", room=ROOM)


def _resolved(path: Path) -> Path:
    """Return the folder itself, by a name that can be changed: not a symbolic link, `.` or `..`."""
    return path.resolve() if path.is_symlink() or path.name in ("", "..") else path


def checkpoint_of(path: Path) -> RunDir:
    """Return the run of a CHECKPOINT argument: a run directory or the checkpoint in it.

    However its training stands, or ended, as long as a checkpoint was saved. Raises TLError where
    there is none, and where it is damaged as far as that can be seen without building it.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise TLError(f"no checkpoint at {path}", "give a run directory that tl train has written")
    if path.is_file() and path.name not in (CHECKPOINT, WEIGHTS, EXPORTED):
        raise TLError(
            f"{path} is not a checkpoint of tl", f"give the run directory or {CHECKPOINT}"
        )
    run = RunDir(folder)
    lacking = [name for name in (CHECKPOINT, WEIGHTS) if not (run / name).is_file()]
    if lacking:
        state = run.state()
        raise TLError(
            f"{folder} holds no {lacking[0]}" + (f" ({state})" if state != UNKNOWN else ""),
            f"go on with it: {run.way_on}"
            if run.way_on
            else "give a run directory that tl train has finished",
        )
    checkpoint.describe(run / CHECKPOINT)
    reading.check_weights(run / WEIGHTS)
    return run
