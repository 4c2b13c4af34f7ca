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

from tl_cli.data.manifest import CLASSIFICATION
from tl_cli.errors import TLError
from tl_cli.humanize import duration, naming, typed
from tl_cli.report.facts import RunFacts, read
from tl_cli.results.paired import LEVEL, Paired, paired
from tl_cli.store.checkpoint import DOES
from tl_cli.store.run_dir import RunDir

BEFORE = ("build", "features", "head", "evidence", "plan")  # stages before the first epoch


@dataclass(frozen=True)
class Point:
    """Validation after an epoch, or after the solved head: when, and after how many looks."""

    seconds: float
    images: int  # looks at training images until then
    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class Compared:
    """One run's figures; of the test images, or of the validation images where there are none."""

    name: str
    run: str
    backbone: str
    strategy: str
    kept: str  # what was kept after a tuning; empty where nothing was tuned
    split: str
    n: int
    figures: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]]
    trained_parameters: int | None  # None where an older tl made the run
    seconds: float
    peak_memory: int | None
    curve: tuple[Point, ...]
    right: Mapping[tuple[str, int], bool]  # whether each image of that split was recognised

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, without what was said of each image."""
        return {key: value for key, value in asdict(self).items() if key != "right"}


@dataclass(frozen=True)
class Pair:
    """Two runs on the images that both were tested on; `result` is None where there are none."""

    first: str
    second: str
    result: Paired | None

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
        """The run that recognises the largest share; of equal ones the fastest."""
        return min(self.runs, key=lambda run: (-run.figures["accuracy"], run.seconds))

    def against_best(self, run: Compared) -> Paired | None:
        """Return the best run beside another, on the images that both were tested on."""
        return _paired(self.best, run)

    @property
    def told(self) -> str:
        """Say which run is best, which ones are as good, and which of those is the fastest."""
        best, others = self.best, [run for run in self.runs if run is not self.best]
        pairs = [(run, self.against_best(run)) for run in others]
        share = f"{best.figures['accuracy']:.1%}"
        alike = [run for run, pair in pairs if pair and pair.p_value >= LEVEL]
        if not alike:
            beyond = ", beyond chance" if all(pair for _, pair in pairs) else ""
            return f"{best.name} recognises the most, {share}{beyond}."
        same = [run for run in alike if run.figures["accuracy"] == best.figures["accuracy"]]
        fastest, speed = _fastest([best, *alike])
        if len(same) == len(others):
            all_of = "both" if len(same) == 1 else f"all {len(self.runs)}"
            return f"A tie: {all_of} recognise {share}. {fastest.name} is the fastest, {speed}."
        names = naming(run.name for run in alike)
        return (
            f"{best.name} recognises the most, {share}, but not beyond chance: it ties with "
            f"{names}. The fastest of them is {fastest.name}, {speed}."
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
    """Compare runs that were read, in order. Raises TLError where one has several labels."""
    for run in facts:
        if run.task != CLASSIFICATION:
            raise TLError(
                f"{run.run.path} {DOES[run.task]}, and runs are compared by one label an image",
                f"see it alone: {typed('tl', 'report', run.run.path)}",
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


def _paired(first: Compared, second: Compared) -> Paired | None:
    one, other = first.right, second.right
    common = [image for image in one if image in other]
    if not common or first.split != second.split:
        return None
    return paired([one[image] for image in common], [other[image] for image in common])


def _compared(facts: RunFacts, name: str) -> Compared:
    figures, told = facts.figures, facts.told
    return Compared(
        name=name,
        run=str(facts.run.path),
        backbone=facts.plan["backbone"],
        strategy=facts.plan["strategy"],
        kept=facts.kept,
        split=facts.split,
        n=figures["n"],
        figures={key: figures[key] for key in figures["intervals"]},
        intervals=figures["intervals"],
        trained_parameters=told.get("trained_parameters"),
        seconds=told["seconds"]["total"],
        peak_memory=told.get("peak_memory"),
        curve=tuple(_curve(told, facts.plan["size"], facts.history)),
        right=facts.right_by_image,
    )


def _curve(
    told: Mapping[str, Any], size: int, history: Sequence[Mapping[str, float]]
) -> list[Point]:
    """Return the points in time: what was done before the first epoch counts as time too."""
    stages = told["seconds"]
    start = sum(stages.get(stage, 0.0) for stage in BEFORE)
    if not history:
        val = told["metrics"]["val"]
        return [Point(start, size, val["accuracy"], val["log_loss"])]
    epochs = [row for row in history if row["epoch"]]
    solved = [row for row in history if not row["epoch"]]
    points = [_point(row, start, size) for row in solved]
    spent = sum(stages.get(stage, 0.0) for stage in ("tune", "train"))
    start += max(0.0, spent - math.fsum(row["seconds"] for row in epochs))
    for number, row in enumerate(epochs, 1):
        start += row["seconds"]
        points.append(_point(row, start, size * (number + len(solved))))
    return points


def _point(row: Mapping[str, float], seconds: float, images: int) -> Point:
    return Point(round(seconds, 3), images, row["val_accuracy"], row["val_log_loss"])
