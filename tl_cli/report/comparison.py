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

from tl_cli.report.facts import RunFacts, read
from tl_cli.results.paired import Paired, paired
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

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "runs": [run.to_json() for run in self.runs],
            "pairs": [pair.to_json() for pair in self.pairs],
        }


def compare(paths: Sequence[Path]) -> Comparison:
    """Read runs and compare them. Raises TLError where one did not finish or is damaged."""
    names = [path.resolve().name for path in paths]
    unique = len(set(names)) == len(names)
    runs = tuple(
        _compared(read(RunDir(path)), name if unique else str(path))
        for path, name in zip(paths, names, strict=True)
    )
    pairs = (Pair(a.name, b.name, _paired(a, b)) for a, b in itertools.combinations(runs, 2))
    return Comparison(runs, tuple(pairs))


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
