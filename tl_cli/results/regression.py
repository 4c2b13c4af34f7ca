"""What an evaluation says of a network that predicts a number, and a run's answers. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from tl_cli import csv_cells
from tl_cli.data.manifest import REGRESSION
from tl_cli.errors import TLError
from tl_cli.results.intervals import Interval
from tl_cli.store import reading

SPREAD = 3  # digits of an error that are told


@dataclass(frozen=True)
class ConformalInterval:
    """By how much a value may be off, either way, for that share of images like the held-out ones.

    Split conformal prediction (Papadopoulos et al. 2002; Lei et al. 2018, arXiv:1604.04173).
    """

    coverage: float  # share of images
    radius: float  # in the unit of the labels
    held_out: int  # images that it was read off

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class RegressionEvaluation:
    """How near a network's numbers come on one split; errors are in the unit of the labels.

    Intervals are percentiles of resampled images, of 95 %.
    """

    split: str
    n: int
    quantity: str  # what it is called
    mae: float  # mean absolute error
    rmse: float  # root of the mean squared error
    r2: float | None  # share of the variance; None where all images have one number
    spearman: float | None  # how alike the order is, -1 to 1; None where all are equal
    guessing_mae: float  # of always saying the median of these images
    guessing_rmse: float  # of always saying their mean
    learnt: bool  # whether its mean absolute error is surely less than that
    intervals: Mapping[str, Interval | None]
    interval: ConformalInterval | None  # None where too few images were held out
    covered: float | None  # share of these images within it; None where it was read off them
    range: tuple[float, float]  # of the numbers of these images

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        told = asdict(self)
        told["intervals"] = {name: ends and list(ends) for name, ends in self.intervals.items()}
        return {"task": REGRESSION, **told, "range": list(self.range)}


def regression_figures(metrics: Mapping[str, Any]) -> RegressionEvaluation:
    """Return the figures that a training comes to: of the test images, else of validation."""
    found: RegressionEvaluation = metrics["test" if "test" in metrics else "val"]
    return found


def said(number: float, spread: float | None = None) -> str:
    """Return a number as people say it; `spread`: an error, below which no digit means anything.

    Without it, three digits: ``3.14``, ``0.00251``, ``12,300``.
    """
    size = abs(number if spread is None else spread)
    if not math.isfinite(number):
        return str(number)
    if not size or not math.isfinite(size):
        return f"{number:g}"
    places = SPREAD - 1 - math.floor(math.log10(size))
    if not -6 <= places <= 9:
        return f"{number:.{SPREAD}g}"
    return f"{round(number, places):,.{max(places, 0)}f}"


@dataclass(frozen=True)
class ValuePrediction:
    """One image of a run: its number, and what the network said."""

    path: str
    split: str
    value: float
    predicted: float

    @property
    def error(self) -> float:
        return self.predicted - self.value


COLUMNS = [field.name for field in fields(ValuePrediction)]


def csv_text(predictions: Iterable[ValuePrediction]) -> str:
    """Return a run's predictions.csv, one line an image."""
    return csv_cells.table(COLUMNS, map(astuple, predictions))


def read(path: Path) -> list[ValuePrediction]:
    """Read the table back. Raises TLError where it is missing or damaged."""
    try:
        return [_prediction(row) for row in reading.rows_of(path, COLUMNS)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TLError(f"the predictions in {path} are damaged", "train again") from error


def _prediction(row: Mapping[str, str]) -> ValuePrediction:
    value, predicted = float(row["value"]), float(row["predicted"])
    if not (math.isfinite(value) and math.isfinite(predicted)):
        raise ValueError("a number that is endless")
    return ValuePrediction(row["path"], row["split"], value, predicted)
