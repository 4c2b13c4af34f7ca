"""`tl train --track`: a run's parameters, epochs, figures and report, kept by another program too.

To add one: a row of `TRACKERS`, an extra of its name, and a module of its name here with
`begin(run)`, which returns a Tracker. Imports none of them before it is asked for.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from tl_cli.errors import TLError
from tl_cli.quiet import quiet
from tl_cli.results.progress import Note, OnProgress, Progress
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

FIGURES = (
    "accuracy", "balanced_accuracy", "macro_f1", "log_loss", "top5",
    "mean_average_precision", "micro_f1", "subset_accuracy", "mae", "rmse", "r2", "spearman",
)  # fmt: skip
OF_THE_PLAN = ("strategy", "similarity", "frozen_blocks", "blocks", "size", "classes")
NO_PARAMETERS = ("output", "report", "track")  # of the configuration: they decide no result
ARTIFACTS = (run_dir.REPORT, run_dir.CONFIG, run_dir.PLAN, run_dir.METRICS)


class Tracker(Protocol):
    """What another program keeps of one run. Any of these may raise what that program raises."""

    look: str  # what to type to look at it

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Keep what decided the run."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Keep what an epoch came to; 0 is the solved head."""

    def figures(self, values: Mapping[str, float], report: Path) -> None:
        """Keep what the run came to; the report will lie there."""

    def artifacts(self, paths: Sequence[Path]) -> None:
        """Keep files of the run."""

    def end(self, *, well: bool) -> None:
        """Nothing comes after this."""


@dataclass(frozen=True)
class Row:
    """One tracker: what is known of it before it is imported."""

    name: str  # also that of its module here, and of its extra
    title: str
    needs: tuple[str, ...]  # modules without which there is nothing to begin


TRACKERS = {
    "tensorboard": Row("tensorboard", "TensorBoard", ("tensorboard",)),
    "mlflow": Row("mlflow", "MLflow", ("mlflow",)),
}


def require(name: str | None) -> None:
    """Raise TLError where a tracker is asked for that is not installed."""
    if name is None:
        return
    row = TRACKERS[name]
    for module in row.needs:
        if importlib.util.find_spec(module) is None:
            raise TLError(
                f"tracking with {row.title} needs {module}, which is not installed",
                f"pip install 'tl-cli[{row.name}]'",
            )


@dataclass
class FollowedRun:
    """A run that is tracked, or is not: then nothing of this does anything.

    A tracker that fails is told once and given up: the run matters more.
    """

    run: RunDir
    on_progress: OnProgress
    tracker: Tracker | None = None
    title: str = ""
    _described: bool = False
    _epochs: set[int] = field(default_factory=set)

    def watch(self, event: Progress | Note) -> None:
        """Hand on what the run reports, and keep its epochs as they come."""
        self.on_progress(event)
        # before there is a plan, what is trained is tried out and thrown away
        if isinstance(event, Progress) and event.epoch and (self.run / run_dir.PLAN).is_file():
            self._describe()
            self._keep_epoch(event.epoch)

    def finish(self) -> None:
        """Keep what is known when all is trained: what an earlier process had done, too."""
        self._describe()
        for row in _rows(self.run / run_dir.HISTORY):
            if row["epoch"] not in self._epochs:
                self._keep_epoch(row)
        self._try(lambda t: t.figures(_figures(self.run), self.run.final_path / run_dir.REPORT))

    def close(self, run: RunDir) -> None:
        """Keep the files of the run, where it lies in the end, and say where to look."""
        paths = [run / name for name in ARTIFACTS if (run / name).is_file()]
        self._try(lambda t: t.artifacts(paths))
        self._try(lambda t: t.end(well=True))
        if self.tracker:
            said = f"Tracked with {self.title}; to look at it: {self.tracker.look}"
            self.on_progress(Note(said, needed=True))

    def _describe(self) -> None:
        if self.tracker and not self._described:
            self._described = True
            self._try(lambda t: t.parameters(_parameters(self.run)))

    def _keep_epoch(self, row: Mapping[str, float]) -> None:
        number = int(row["epoch"])
        self._epochs.add(number)
        values = {name: v for name, v in row.items() if name != "epoch" and math.isfinite(v)}
        self._try(lambda t: t.epoch(number, values))

    def _try(self, call: Callable[[Tracker], None]) -> None:
        if self.tracker is None:
            return
        try:
            with hushed():
                call(self.tracker)
        except Exception as error:  # whatever a server that went away makes a client raise
            self.tracker = None
            said = f"{self.title} keeps nothing more of this run: {first_line(error)}"
            self.on_progress(Note(said, warning=True))


@contextmanager
def following(name: str | None, run: RunDir, on_progress: OnProgress) -> Iterator[FollowedRun]:
    """Follow a run with a tracker; None: with none. Raises TLError where it cannot be begun."""
    require(name)
    followed = FollowedRun(run, on_progress)
    if name:
        module, title = importlib.import_module(f"{__name__}.{name}"), TRACKERS[name].title
        tracker = _begun(module, run)
        if isinstance(tracker, Exception):
            raise TLError(f"{title} cannot be used: {first_line(tracker)}", module.HINT)
        followed = replace(followed, tracker=tracker, title=title)
    try:
        yield followed
    except BaseException:
        followed._try(lambda t: t.end(well=False))
        raise


def _begun(module: Any, run: RunDir) -> Tracker | Exception:
    """Return the tracker of a module, or what went wrong; what it prints meanwhile is dropped."""
    with quiet(), hushed():
        try:
            tracker: Tracker = module.begin(run)
        except Exception as error:
            return error
    return tracker


@contextmanager
def hushed() -> Iterator[None]:
    """Keep what trackers log and warn of from the user."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def first_line(error: BaseException) -> str:
    """Return what an error says, in a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _parameters(run: RunDir) -> dict[str, Any]:
    """Return what decided the run: its configuration with all that the tool chose, and its plan."""
    config = yaml.safe_load((run / run_dir.CONFIG).read_text(encoding="utf-8"))
    plan = json.loads((run / run_dir.PLAN).read_text(encoding="utf-8"))
    chosen = {name: value for name, value in config.items() if name not in NO_PARAMETERS}
    return chosen | {name: plan[name] for name in OF_THE_PLAN}


def _figures(run: RunDir) -> dict[str, float]:
    """Return what the run came to, by split and figure."""
    told = json.loads((run / run_dir.METRICS).read_text(encoding="utf-8"))
    figures = {
        f"{split}/{name}": float(values[name])
        for split, values in told["metrics"].items()
        for name in FIGURES
        if values.get(name) is not None
    }
    for name in ("cv_accuracy", "cv_average_precision", "cv_mae", "cv_r2"):
        if name in (told["head"] or {}):
            figures[f"head/{name}"] = float(told["head"][name])
    return figures | {"seconds": float(told["seconds"]["total"])}


def _rows(path: Path) -> list[dict[str, float]]:
    """Return the epochs of history.csv; none where nothing was tuned."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
