"""Probabilities and labels -> Appraisal: scikit-learn's areas, calibration, slices, thresholds.

Knows nothing of how the probabilities came about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.special import softmax
from sklearn import metrics

from tl_cli.data.manifest import Record
from tl_cli.engine.head.linear_head import fit_temperature, scores_of
from tl_cli.engine.metrics.figures import log_losses
from tl_cli.engine.predict import LabelledPredictions
from tl_cli.errors import TLError
from tl_cli.results import calibration, intervals, paired
from tl_cli.results.evaluation import (
    Against,
    Area,
    Calibration,
    Confused,
    Diagnostics,
    Loss,
    MeanSlice,
    Slice,
    Threshold,
    confused,
)
from tl_cli.results.measures import Measure

MOST = 20  # pairs and images that are named
PARTS = 4  # of a column of numbers
FEW_VALUES = 8  # up to which numbers are values of their own
MOST_VALUES = 50


def diagnose(found: LabelledPredictions, validation: LabelledPredictions | None) -> Diagnostics:
    """Return what follows from the answers to images of known classes.

    `validation`: the answers to the run's validation images, which the temperature is fitted on;
    `found` itself where those are what was evaluated; None where they are gone.
    """
    sure, right = found.probabilities.max(1), found.right
    areas = tuple(_areas(found))
    return Diagnostics(
        calibration=_calibration(found, validation),
        roc_area=_mean([area.roc for area in areas]),
        precision_recall_area=_mean([area.precision_recall for area in areas]),
        areas=areas,
        coverage=calibration.coverage(sure.tolist(), right.tolist()),
        confused=tuple(_confused(found)),
        losses=tuple(_losses(found, np.arange(len(right)))),
        mistakes=tuple(_losses(found, np.flatnonzero(~right))),
    )


def _calibration(found: LabelledPredictions, validation: LabelledPredictions | None) -> Calibration:
    def reliability(p: np.ndarray) -> calibration.Reliability:
        return calibration.reliability(p.max(1).tolist(), found.right.tolist())

    plain = reliability(found.probabilities)
    if validation is None:
        return Calibration(plain.ece, plain.bins)
    temperature = fit_temperature(scores_of(validation.probabilities), validation.labels)
    if validation is found:
        return Calibration(plain.ece, plain.bins, temperature)
    scaled = reliability(softmax(scores_of(found.probabilities) / temperature, axis=1))
    return Calibration(plain.ece, plain.bins, temperature, scaled.ece)


def _areas(found: LabelledPredictions) -> Iterator[Area]:
    """Yield the areas under each class's curves, against the rest."""
    for number, name in enumerate(found.classes):
        own = found.labels == number
        if not own.any() or own.all():
            yield Area(name, None, None)
            continue
        p = found.probabilities[:, number]
        yield Area(
            name,
            float(metrics.roc_auc_score(own, p)),
            float(metrics.average_precision_score(own, p)),
        )


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _confused(found: LabelledPredictions) -> list[Confused]:
    count, said = len(found.classes), found.probabilities.argmax(1)
    matrix = metrics.confusion_matrix(found.labels, said, labels=range(count))
    return confused(found.classes, matrix.tolist(), MOST)


def _losses(found: LabelledPredictions, rows: np.ndarray) -> Iterator[Loss]:
    """Yield those of the rows (int [n]) that cost the most."""
    losses = log_losses(found.probabilities, found.labels)
    for row in rows[np.argsort(-losses[rows], kind="stable")][:MOST]:
        p, record = found.probabilities[row], found.records[row]
        said = int(p.argmax())
        yield Loss(
            record.path, record.label, found.classes[said], float(p[said]), float(losses[row])
        )


# == asked for ====================================================================================


def slices(found: LabelledPredictions, column: Mapping[str, str]) -> tuple[Slice, ...]:
    """Return the accuracy for each value of a column (path -> value), the least accurate first.

    See `_by_value`.
    """
    by_value = _by_value(found.records, column)
    rows = [_slice(value, found.right[own]) for value, own in by_value.items()]
    return tuple(sorted(rows, key=lambda row: (row.accuracy, row.value)))


def mean_slices(
    records: Sequence[Record], figures: np.ndarray, column: Mapping[str, str], measure: Measure
) -> tuple[MeanSlice, ...]:
    """Return the mean of a figure of each image, float [n], for each value, the worst first.

    See `_by_value`.
    """
    rows = [
        MeanSlice(value or "(none)", int(own.sum()), float(figures[own].mean()),
                  paired.mean_interval(figures[own]))
        for value, own in _by_value(records, column).items()
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: (-measure.rank(row.mean), row.value)))


def _by_value(records: Sequence[Record], column: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return which records have each value of a column (path -> value), bool [n].

    More than a few numbers are cut into four parts of equally many images. Raises TLError where
    there are too many values to say something of each.
    """
    values = _in_parts([column.get(record.path, "") for record in records])
    if len(set(values)) > MOST_VALUES:
        raise TLError(
            f"the column has {len(set(values)):,} values, too many to say something of each",
            f"choose a column with at most {MOST_VALUES}",
        )
    return {
        value: np.array([own == value for own in values], bool) for value in dict.fromkeys(values)
    }


def _slice(value: str, right: np.ndarray) -> Slice:
    n, hits = len(right), int(right.sum())
    return Slice(value or "(none)", n, hits / n, intervals.wilson(hits, n))


def _in_parts(values: list[str]) -> list[str]:
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        return values
    if len(np.unique(numbers)) <= FEW_VALUES or not np.isfinite(numbers).all():
        return values
    bounds = np.unique(np.quantile(numbers, np.linspace(0, 1, PARTS + 1)))
    part = np.clip(np.searchsorted(bounds, numbers, side="right") - 1, 0, len(bounds) - 2)
    return [f"{bounds[i]:g} to {bounds[i + 1]:g}" for i in part]


def thresholds(
    found: LabelledPredictions, chosen_on: LabelledPredictions, split: str, goal: str, target: float
) -> tuple[Threshold, ...]:
    """Return for each of two classes the threshold that gives a precision or recall.

    Chosen on one set of answers, measured on another. Raises TLError for more than two classes.
    """
    if len(found.classes) != 2:
        raise TLError(
            f"a threshold is for two classes, and this network knows {len(found.classes)}",
            "withhold unsure answers instead: tl predict --min-confidence",
        )
    return tuple(_threshold(found, chosen_on, split, goal, target, k) for k in (0, 1))


def _threshold(
    found: LabelledPredictions,
    chosen_on: LabelledPredictions,
    split: str,
    goal: str,
    target: float,
    number: int,
) -> Threshold:
    name = found.classes[number]
    at = _chosen(chosen_on.labels == number, chosen_on.probabilities[:, number], goal, target)
    if at is None:
        return Threshold(name, goal, target, None, None, None, split)
    own, said = found.labels == number, found.probabilities[:, number] >= at
    hits = int((own & said).sum())
    precision = hits / int(said.sum()) if said.any() else None
    recall = hits / int(own.sum()) if own.any() else None
    return Threshold(name, goal, target, at, precision, recall, split)


def _chosen(own: np.ndarray, p: np.ndarray, goal: str, target: float) -> float | None:
    """Return the threshold that reaches the goal at the least cost in the other figure."""
    if not own.any():
        return None
    precision, recall, levels = metrics.precision_recall_curve(own, p)
    reached = (precision if goal == "precision" else recall)[:-1] >= target
    other = (recall if goal == "precision" else precision)[:-1]
    if not reached.any():
        return None
    return float(levels[np.argmax(np.where(reached, other, -1.0))])


def against(found: LabelledPredictions, other: LabelledPredictions, name: str) -> Against:
    """Compare with another checkpoint on the same records. Raises TLError for other classes."""
    if set(found.classes) != set(other.classes):
        raise TLError(
            f"{name} knows other classes, so the two cannot be compared",
            "compare checkpoints of the same classes",
        )
    order = [other.classes.index(label) for label in found.classes]
    theirs = log_losses(other.probabilities[:, order], found.labels)
    gain = log_losses(found.probabilities, found.labels) - theirs
    right = other.probabilities[:, order].argmax(1) == found.labels
    return Against(
        run=name,
        accuracy=paired.paired(found.right.tolist(), right.tolist()),
        log_loss_difference=float(gain.mean()),
        log_loss_interval=paired.mean_interval(gain),
    )
