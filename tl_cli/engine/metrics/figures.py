"""Probabilities and labels -> Evaluation: scikit-learn's metrics, bootstrap intervals, baseline.

Knows nothing of how the probabilities came about.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from tl_cli.errors import TLError, unknown
from tl_cli.results import intervals
from tl_cli.results.evaluation import ClassRow, Evaluation
from tl_cli.results.intervals import Interval

LEAST_PROBABILITY = 1e-12  # less is rounding, and its logarithm would drown all other images
DRAWS = 1000
LEAST_SPREAD = 1e-9  # of draws; less is rounding
TOP = 5


def evaluate(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    split: str,
    seed: int = 0,
) -> Evaluation:
    """Return all figures for probabilities float [N, C] and labels int [N], both over `classes`.

    Classes with no image among the labels are left out of balanced accuracy and macro F1. Raises
    TLError where there are no images.
    """
    if len(labels) == 0:
        raise TLError(f"there are no {split} images to evaluate on", "choose another --split")
    predicted = probabilities.argmax(axis=1)
    present = np.unique(labels)
    with warnings.catch_warnings():
        # a class that is predicted and not present is what evaluating on some classes means
        warnings.simplefilter("ignore")
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            labels, predicted, labels=range(len(classes)), zero_division=0
        )
        balanced = metrics.balanced_accuracy_score(labels, predicted)
        macro = metrics.f1_score(labels, predicted, labels=present, average="macro")
    confusion = metrics.confusion_matrix(labels, predicted, labels=range(len(classes)))
    losses = log_losses(probabilities, labels)
    return Evaluation(
        split=split,
        n=len(labels),
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        balanced_accuracy=float(balanced),
        macro_f1=float(macro),
        log_loss=float(losses.mean()),
        top5=_top5(probabilities, labels),
        majority_baseline=float(support.max() / len(labels)),
        intervals=_intervals(labels, predicted, losses, len(classes), seed),
        per_class=tuple(
            ClassRow(name, float(p), float(r), float(f), int(s))
            for name, p, r, f, s in zip(classes, precision, recall, f1, support, strict=True)
        ),
        classes=tuple(classes),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each image's negative log likelihood in nats, float64 [N].

    `probabilities`: float [N, C], `labels`: int [N]. One image costs 27.6 nats at the most. With
    indicators [N, C] of several labels an image: the mean over classes of each one's own.
    """
    if labels.ndim == 2:
        said = np.where(labels > 0.5, probabilities, 1 - probabilities.astype("float64"))
        return -np.log(np.clip(said, LEAST_PROBABILITY, 1.0)).mean(1)
    right = probabilities[np.arange(len(labels)), labels].astype("float64")
    return -np.log(np.clip(right, LEAST_PROBABILITY, 1.0))


def _top5(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    count = probabilities.shape[1]
    if count <= TOP:
        return None
    return float(
        metrics.top_k_accuracy_score(labels, probabilities, k=TOP, labels=np.arange(count))
    )


def _intervals(
    labels: np.ndarray, predicted: np.ndarray, losses: np.ndarray, count: int, seed: int
) -> dict[str, Interval | None]:
    """Return 95 % intervals: closed ones of shares, else of resampled images.

    Percentiles (Efron & Tibshirani 1993) only where they have spread: of images that were all
    recognised, each draw says the same.
    """
    cells, n = labels * count + predicted, len(labels)
    matrix = _confusion(cells, count)
    right, true, said = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    present = true > 0
    f1, loss = _resampled(cells, losses, count, seed)
    return {
        "accuracy": intervals.wilson(int(right.sum()), n),
        "balanced_accuracy": intervals.mean_of_shares(_pairs(right[present], true[present])),
        "macro_f1": percentiles(f1)
        or intervals.mean_of_f1(_pairs(right[present], (true + said - right)[present])),
        "log_loss": percentiles(loss),
    }


def _pairs(hits: np.ndarray, n: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(hits.tolist(), n.tolist(), strict=True))


def _resampled(
    cells: np.ndarray, losses: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return macro F1 and log loss of each draw: float64 [DRAWS] both."""
    draw, n = np.random.default_rng(seed), len(cells)
    f1, loss = np.empty(DRAWS), np.empty(DRAWS)
    for i in range(DRAWS):
        chosen = draw.integers(0, n, n)
        f1[i], loss[i] = _macro_f1(_confusion(cells[chosen], count)), losses[chosen].mean()
    return f1, loss


def percentiles(values: np.ndarray) -> Interval | None:
    """Return what holds 95 % of the draws; None where they are all the same."""
    low, high = (float(np.percentile(values, q)) for q in (2.5, 97.5))
    return (low, high) if high - low > LEAST_SPREAD else None


def _confusion(cells: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(cells, minlength=count * count).reshape(count, count)


def _macro_f1(matrix: np.ndarray) -> float:
    right, true, said = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    return float((2 * right / np.maximum(true + said, 1))[true > 0].mean())


def encode(names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return class numbers int64 [N] for class names. Raises TLError for a class not known."""
    number = {name: i for i, name in enumerate(classes)}
    for name in names:
        if name not in number:
            error = unknown("class", name, classes)
            raise TLError(
                f"the data have a class the checkpoint does not know: {error.message}", error.hint
            )
    return np.array([number[name] for name in names], dtype="int64")
