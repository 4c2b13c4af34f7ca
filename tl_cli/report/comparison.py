"""Finished runs side by side: figures, learning curves, and each pair on the same images.

Knows what a run wrote, and nothing of networks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tl_cli.data.manifest import REGRESSION
from tl_cli.errors import TLError
from tl_cli.humanize import duration, naming, typed
from tl_cli.report.facts import RunFacts, read
from tl_cli.results.measures import MEASURES, Measure, Pairing
from tl_cli.results.paired import LEVEL, mean_interval
from tl_cli.store.checkpoint import DOES
from tl_cli.store.run_dir import RunDir

BEFORE = ("build", "features", "head", "evidence", "plan")  # stages before the first epoch


@dataclass(frozen=True)
class Point:
    """Validation after an epoch, or after the solved head: when, and after how many looks."""

    seconds: float
    images: int  # looks at training images until then
    figure: float  # see Measure.curve
    loss: float | None  # None where no loss was told


@dataclass(frozen=True)
class Compared:
    """One run's figures; of the test images, or of the validation images where there are none."""

    name: str
    run: str
    task: str  # what the labels are
    backbone: str
    strategy: str
    kept: str  # what was kept after a tuning; empty where nothing was tuned
    split: str
    n: int
    figures: Mapping[str, float | None]
    intervals: Mapping[str, Sequence[float] | None]
    trained_parameters: int | None  # None where an older tl made the run
    seconds: float
    peak_memory: int | None
    curve: tuple[Point, ...]
    by_image: Mapping[tuple[str, int], float]  # the figure that decides, of each image

    @property
    def measure(self) -> Measure:
        return MEASURES[self.task]

    @property
    def figure(self) -> float:
        """The figure that decides."""
        return self.figures[self.measure.key] or 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval; the figure itself where there is none."""
        low, high = self.intervals[self.measure.key] or (self.figure, self.figure)
        return low, high

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, without what was said of each image."""
        told = {key: value for key, value in asdict(self).items() if key != "by_image"}
        names = dict(zip(("figure", "loss"), self.measure.curve, strict=True))
        curve = [{names.get(key, key): v for key, v in point.items()} for point in told["curve"]]
        return told | {"curve": curve}


@dataclass(frozen=True)
class Pair:
    """Two runs on the images that both were tested on; `result` is None where there are none."""

    first: str
    second: str
    result: Pairing | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        more = self.result.to_json() | {"verdict": self.result.verdict} if self.result else {}
        return {"first": self.first, "second": self.second, "n": 0, **more}


@dataclass(frozen=True)
class Comparison:
    """All runs, and every pair of them."""

    runs: tuple[Compared, ...]
    pairs: tuple[Pair, ...]

    @property
    def best(self) -> Compared:
        """The run with the best figure; of equal ones the fastest."""
        return min(self.runs, key=lambda run: (self.measure.rank(run.figure), run.seconds))

    @property
    def measure(self) -> Measure:
        """What all of them are compared by."""
        return self.runs[0].measure

    def against_best(self, run: Compared) -> Pairing | None:
        """Return the best run beside another, on the images that both were tested on."""
        return _paired(self.best, run)

    @property
    def told(self) -> str:
        """Say which run is best, which ones are as good, and which of those is the fastest."""
        best, others = self.best, [run for run in self.runs if run is not self.best]
        pairs = [(run, self.against_best(run)) for run in others]
        first = f"{best.name} {self.measure.best.format(self.measure.say(best.figure))}"
        alike = [run for run, pair in pairs if pair and pair.p_value >= LEVEL]
        if not alike:
            beyond = ", beyond chance" if all(pair for _, pair in pairs) else ""
            return f"{first}{beyond}."
        same = [run for run in alike if run.figure == best.figure]
        fastest, speed = _fastest([best, *alike])
        if len(same) == len(others):
            all_of = "both" if len(same) == 1 else f"all {len(self.runs)}"
            tie = self.measure.alike.format(self.measure.say(best.figure))
            return f"A tie: {all_of} {tie}. {fastest.name} is the fastest, {speed}."
        names = naming(run.name for run in alike)
        return (
            f"{first}, but not beyond chance: it ties with {names}. The fastest of them is "
            f"{fastest.name}, {speed}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "runs": [run.to_json() for run in self.runs],
            "pairs": [pair.to_json() for pair in self.pairs],
            "verdict": self.told,
        }


def compare(paths: Sequence[Path]) -> Comparison:
    """Read runs and compare them. Raises TLError where one did not finish or is damaged."""
    return of_facts([read(RunDir(path)) for path in paths])


def of_facts(facts: Sequence[RunFacts]) -> Comparison:
    """Compare runs that were read, in order. Raises TLError where they have no figure in common."""
    first, *others = facts
    for run in others:
        if run.task != first.task:
            raise TLError(
                f"{first.run.path} {DOES[first.task]}, and {run.run.path} {DOES[run.task]}: "
                "they have no figure in common",
                f"see one alone: {typed('tl', 'report', run.run.path)}",
            )
        if run.task == REGRESSION and run.figures["quantity"] != first.figures["quantity"]:
            raise TLError(
                f"{first.run.path} predicts {first.figures['quantity']!r}, and {run.run.path} "
                f"{run.figures['quantity']!r}: how far they are off cannot be compared",
                "give runs that predict the same number",
            )
    names = [run.name for run in facts]
    unique = len(set(names)) == len(names)
    runs = tuple(
        _compared(run, name if unique else str(run.run.path))
        for run, name in zip(facts, names, strict=True)
    )
    pairs = (Pair(a.name, b.name, _paired(a, b)) for a, b in itertools.combinations(runs, 2))
    return Comparison(runs, tuple(pairs))


def _fastest(runs: Sequence[Compared]) -> tuple[Compared, str]:
    """Return the run that took the least time, and that time beside the next one's."""
    first, second = sorted(runs, key=lambda run: run.seconds)[:2]
    return first, f"{duration(first.seconds)} against {duration(second.seconds)}"


def _paired(first: Compared, second: Compared) -> Pairing | None:
    one, other = first.by_image, second.by_image
    common = [image for image in one if image in other]
    if not common or first.split != second.split:
        return None
    return first.measure.pair([one[image] for image in common], [other[image] for image in common])


def _compared(facts: RunFacts, name: str) -> Compared:
    told = facts.told
    figures, intervals = _figures(facts)
    return Compared(
        name=name,
        run=str(facts.run.path),
        task=facts.task,
        backbone=facts.plan["backbone"],
        strategy=facts.plan["strategy"],
        kept=facts.kept,
        split=facts.split,
        n=facts.figures["n"],
        figures=figures,
        intervals=intervals,
        trained_parameters=told.get("trained_parameters"),
        seconds=told["seconds"]["total"],
        peak_memory=told.get("peak_memory"),
        curve=tuple(_curve(facts, MEASURES[facts.task])),
        by_image=facts.by_image,
    )


def _figures(facts: RunFacts) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures that have intervals, and these; that of the images, where it is none."""
    figures, intervals = facts.figures, dict(facts.figures["intervals"])
    found = {key: figures[key] for key in intervals}
    key = MEASURES[facts.task].key
    if key not in found:
        import numpy as np

        values = np.array([*facts.by_image.values()])
        if not len(values):
            raise TLError(f"{facts.run.path} holds no answers to its images", "train again")
        found, intervals[key] = found | {key: float(values.mean())}, mean_interval(values)
    return found, intervals


def _curve(facts: RunFacts, measure: Measure) -> list[Point]:
    """Return the points in time: what was done before the first epoch counts as time too."""
    stages, size, history = facts.told["seconds"], facts.plan["size"], facts.history
    start = sum(stages.get(stage, 0.0) for stage in BEFORE)
    if not history:
        val = facts.told["metrics"]["val"]
        figure, loss = measure.curve
        figure = figure if figure in val else f"mean_{figure}"
        return [Point(start, size, val[figure] or 0.0, val.get(loss))]
    epochs = [row for row in history if row["epoch"]]
    solved = [row for row in history if not row["epoch"]]
    points = [_point(row, start, size, measure) for row in solved]
    spent = sum(stages.get(stage, 0.0) for stage in ("tune", "train"))
    start += max(0.0, spent - math.fsum(row["seconds"] for row in epochs))
    for number, row in enumerate(epochs, 1):
        start += row["seconds"]
        points.append(_point(row, start, size * (number + len(solved)), measure))
    return points


def _point(row: Mapping[str, float], seconds: float, images: int, measure: Measure) -> Point:
    figure, loss = (row[f"val_{name}"] for name in measure.curve)
    return Point(round(seconds, 3), images, figure, loss)
