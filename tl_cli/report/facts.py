"""A run directory -> RunFacts: everything that its files tell. Knows nothing of pages."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

from tl_cli import flat_yaml
from tl_cli.data.csv_io import read_csv
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION, BadFile, Manifest
from tl_cli.errors import TLError
from tl_cli.report import shapes
from tl_cli.results import predictions, regression
from tl_cli.results.headline import FOLDS, HEAD, TEST, VALIDATION, Headline
from tl_cli.results.intervals import wilson
from tl_cli.results.learning_curve import LearningCurve
from tl_cli.results.measures import MEASURES
from tl_cli.results.predictions import Prediction
from tl_cli.results.regression import ValuePrediction
from tl_cli.store import reading, run_dir
from tl_cli.store.run_dir import RunDir

Row = dict[str, float]
MEASURED = ("epoch", "seconds", "loss")  # columns of history.csv, and JUDGED of validation
JUDGED = {  # by what labels are
    task: tuple(f"val_{name}" for name in reversed(each.curve)) for task, each in MEASURES.items()
}
BAD = ("path", "label", "reason")  # of bad_files.csv
LARGEST = 1e9  # seconds, epochs, nats: beyond it, no axis can be drawn


@dataclass(frozen=True)
class RunFacts:
    """What one finished run wrote down."""

    run: RunDir
    config: Mapping[str, str]
    plan: Mapping[str, Any]
    told: Mapping[str, Any]  # metrics.json
    history: tuple[Row, ...]  # epoch 0 is the solved head; empty where nothing was tuned
    environment: Mapping[str, Any]
    manifest: Manifest
    predictions: tuple[Prediction, ...]  # empty where an older tl made the run
    values: tuple[ValuePrediction, ...] = ()  # in their place, where a number is predicted

    @property
    def name(self) -> str:
        return self.run.path.resolve().name

    @property
    def task(self) -> str:
        """What the labels are."""
        return str(self.told.get("task", CLASSIFICATION))

    @property
    def split(self) -> str:
        """The split whose figures count: the test images, else the validation images."""
        return "test" if "test" in self.metrics else "val"

    @property
    def tune(self) -> Mapping[str, Any]:
        """What tuning came to, keys as in docs/json.md; empty where nothing was tuned."""
        return self.told.get("tune") or {}

    @property
    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """What might have been kept after the tuning; empty where an older tl made the run."""
        return self.tune.get("candidates") or ()

    @property
    def refit(self) -> bool:
        """Whether the saved head was fitted to the validation images too."""
        return bool(self.told.get("refit"))

    @property
    def kept(self) -> str:
        """The name of the candidate that was kept after a tuning; empty where nothing was tuned."""
        return str(self.tune.get("kept", ""))

    @property
    def kept_in_short(self) -> str:
        """What was kept after a tuning, as the comparison's table says it."""
        return "head kept" if self.kept == "head" else self.kept

    @property
    def frozen_blocks(self) -> int:
        """How many blocks of the saved backbone are as they were: all, where the head was kept."""
        return int(self.plan["blocks" if self.kept == "head" else "frozen_blocks"])

    @property
    def learning_curve(self) -> LearningCurve | None:
        """How the accuracy grew with the training images; None where that was not measured."""
        told = self.told.get("learning_curve")
        return LearningCurve.from_json(told) if told else None

    @property
    def place(self) -> Path:
        """Where the run lies, from the root on."""
        return self.run.path.resolve()

    @property
    def data(self) -> str:
        """The data as they were given, a path of this machine from the root on."""
        return self._from_root(str(self.config["data"]))

    @property
    def date(self) -> str:
        """When it was trained, as ``2026-03-01 14:05``; empty where an older tl made the run."""
        return str(self.environment.get("date", ""))[:16].replace("T", " ")

    @property
    def repeat(self) -> list[str]:
        """The command that trains the same anew, from whatever folder, into a new one."""
        words = ["tl", "train", "--config", str(self.place / run_dir.CONFIG), "--data", self.data]
        for option in ("data_dir", "weights"):
            if (path := self.config.get(option)) not in (None, "auto"):
                words += [f"--{option.replace('_', '-')}", self._from_root(str(path))]
        return [*words, "--output", str(_free(self.place))]

    def _from_root(self, path: str) -> str:
        """Return a path that was given, as it is to be given in another folder."""
        whole = Path(self.environment.get("folder", "")).resolve() / path
        return str(whole) if whole.exists() else path

    @property
    def evidence(self) -> Mapping[str, Any]:
        """What the plan goes by, where it was measured; else empty."""
        return self.plan.get("evidence") or {}

    @property
    def metrics(self) -> Mapping[str, Any]:
        return dict(self.told["metrics"])

    @property
    def figures(self) -> Mapping[str, Any]:
        """The evaluation of that split, keys as in docs/json.md."""
        return dict(self.metrics[self.split])

    @property
    def headline(self) -> Headline:
        """The figure that the run comes to, as the terminal says it: see `results.headline`."""
        head, split = self.told.get("head"), self.split
        if split == "test" or not head or self.kept not in ("", HEAD):
            figures = self.figures
            low, high = figures["intervals"]["accuracy"] or (0.0, 1.0)
            how = TEST if split == "test" else VALIDATION
            guessing = figures["majority_baseline"]
            return Headline(figures["accuracy"], figures["n"], low, high, guessing, how)
        n, share = int(self.plan["size"]), head["cv_accuracy"]
        most = max(self.manifest.counts("train").values())
        return Headline(share, n, *wilson(round(share * n), n), most / n, FOLDS)

    @cached_property
    def answers(self) -> tuple[Prediction, ...]:
        """What was said of each image of that split."""
        return tuple(p for p in self.predictions if p.split == self.split)

    @cached_property
    def values_of_split(self) -> tuple[ValuePrediction, ...]:
        """What number was said of each image of that split."""
        return tuple(p for p in self.values if p.split == self.split)

    @cached_property
    def by_image(self) -> Mapping[tuple[str, int], float]:
        """The figure that decides of each image of that split: by its content, not its name.

        Copies of one image are counted, for each to have its own.
        """
        digests = {record.path: record.digest for record in self.manifest.records}
        seen: Counter[str] = Counter()
        found = {}
        answers: Sequence[Any] = self.answers or self.values_of_split
        for answer in answers:
            image = digests.get(answer.path) or answer.path
            seen[image] += 1
            found[image, seen[image]] = MEASURES[self.task].of_image(answer)
        return found

    def mistakes(self, most: int) -> list[Prediction]:
        """Return the wrong answers, the surest first."""
        wrong = [p for p in self.answers if not p.right]
        return sorted(wrong, key=lambda p: -p.probability)[:most]


def read(run: RunDir) -> RunFacts:
    """Read what a run wrote. Raises TLError where it did not finish, and for a damaged file."""
    if not (run / run_dir.METRICS).is_file():
        state = run.state()
        raise TLError(
            f"{run.path} holds no finished run" + (f" ({state})" if state != "unknown" else ""),
            f"go on with it: {run.way_on}"
            if run.way_on
            else "give a run directory that tl train has finished",
        )
    told = _told(run)
    number = told.get("task") == REGRESSION
    facts = RunFacts(
        run=run,
        config=_config(run),
        plan=_mapping(run, run_dir.PLAN, shapes.Plan),
        told=told,
        history=_history(run, JUDGED[told.get("task", CLASSIFICATION)]),
        environment=_mapping(run, run_dir.ENVIRONMENT, shapes.Environment),
        manifest=replace(read_csv(run / run_dir.MANIFEST), bad=_bad(run)),
        predictions=() if number else _predictions(run),
        values=_values(run) if number else (),
    )
    if "val" not in facts.metrics:  # what chose, and what a page compares the test with
        raise TLError(f"{run / run_dir.METRICS} holds no metrics", "train again")
    return facts


def _free(place: Path) -> Path:
    """Return a place beside a run where there is nothing yet."""
    names = (f"{place.name}-again{number}" for number in chain([""], (f"-{n}" for n in count(2))))
    return next(path for path in map(place.with_name, names) if not path.exists())


def _told(run: RunDir) -> Mapping[str, Any]:
    """Return what metrics.json says, in the shape that belongs to what the labels are."""
    try:
        value = reading.json_of(run / run_dir.METRICS)
    except (OSError, ValueError):
        value = None
    task = value.get("task") if isinstance(value, dict) else None
    shape = {MULTILABEL: shapes.ToldLabels, REGRESSION: shapes.ToldValues}
    return _mapping(run, run_dir.METRICS, shape.get(str(task), shapes.Told))


def _mapping(run: RunDir, name: str, shape: Any) -> Mapping[str, Any]:
    try:
        value: Mapping[str, Any] = reading.json_of(run / name)
        shapes.check(shape, value)
    except OSError as error:
        raise _damaged(run, name) from error
    except ValueError as error:
        raise _damaged(run, name, str(error)) from error
    return value


def _config(run: RunDir) -> Mapping[str, str]:
    """Return what config.yaml says, each value as it is written there."""
    if not (run / run_dir.CONFIG).is_file():
        raise _damaged(run, run_dir.CONFIG)
    config = flat_yaml.read(run / run_dir.CONFIG)
    for name in ("data", "image_size"):
        if name not in config:
            raise _damaged(run, run_dir.CONFIG, f"it says no {name}")
    return config


def _history(run: RunDir, judged: Sequence[str]) -> tuple[Row, ...]:
    """Return a row an epoch; losses that are not finite come from a training that diverged."""
    rows = _rows(run, run_dir.HISTORY, (*MEASURED, *judged))
    try:
        history = tuple({key: float(cell) for key, cell in row.items()} for row in rows)
    except ValueError as error:
        raise _damaged(run, run_dir.HISTORY, str(error)) from error
    for number, row in enumerate(history):
        finite = all(0 <= row.get(key, -1) <= LARGEST for key in ("epoch", "seconds"))
        small = all(not abs(value) > LARGEST or math.isinf(value) for value in row.values())
        if not (finite and small):
            raise _damaged(run, run_dir.HISTORY, f"row {number + 1}")
    return history


def _bad(run: RunDir) -> tuple[BadFile, ...]:
    rows = _rows(run, run_dir.BAD_FILES, BAD)
    return tuple(BadFile(*(row[name] for name in BAD)) for row in rows)


def _predictions(run: RunDir) -> tuple[Prediction, ...]:
    path = run / run_dir.PREDICTIONS
    return tuple(predictions.read(path)) if path.is_file() else ()


def _values(run: RunDir) -> tuple[ValuePrediction, ...]:
    path = run / run_dir.PREDICTIONS
    return tuple(regression.read(path)) if path.is_file() else ()


def _rows(run: RunDir, name: str, needed: Collection[str]) -> list[dict[str, str]]:
    """Return a table's rows, none where the run has no such table."""
    try:
        return reading.rows_of(run / name, needed)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise _damaged(run, name, str(error)) from error


def _damaged(run: RunDir, name: str, reason: str = "") -> TLError:
    what = f"damaged: {reason[:200]}" if reason else "missing or damaged"
    return TLError(f"{run / name} is {what}", "train again, or copy the run again")
