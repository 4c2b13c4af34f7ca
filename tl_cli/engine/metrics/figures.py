"""Probabilities and labels -> Evaluation: scikit-learn's metrics, bootstrap intervals, baseline.

Knows nothing of how the probabilities came about.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from tl_cli.errors import TLError, unknown
from tl_cli.results.evaluation import ClassRow, Evaluation

LEAST_PROBABILITY = 1e-12  # less is rounding, and its logarithm would drown all other images
DRAWS = 1000
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

    `probabilities`: float [N, C], `labels`: int [N]. One image costs 27.6 nats at the most.
    """
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
) -> dict[str, tuple[float, float]]:
    """Return 95 % percentile intervals from resampled images (Efron & Tibshirani 1993).

    One confusion matrix a draw gives every figure, so a thousand draws cost little.
    """
    draw = np.random.default_rng(seed)
    cells, n = labels * count + predicted, len(labels)
    seen: dict[str, list[float]] = {
        name: [] for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
    }
    for _ in range(DRAWS):
        chosen = draw.integers(0, n, n)
        matrix = np.bincount(cells[chosen], minlength=count * count).reshape(count, count)
        seen["log_loss"].append(float(losses[chosen].mean()))
        for name, value in _figures(matrix).items():
            seen[name].append(value)
    return {
        name: (float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5)))
        for name, values in seen.items()
    }


def _figures(matrix: np.ndarray) -> dict[str, float]:
    right, true, said = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    present = true > 0
    f1 = 2 * right / np.maximum(true + said, 1)
    return {
        "accuracy": right.sum() / matrix.sum(),
        "balanced_accuracy": (right[present] / true[present]).mean(),
        "macro_f1": f1[present].mean(),
    }


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
