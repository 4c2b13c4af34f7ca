"""Transferability scores: how well features suit labels, without a classifier.

They inform and decide nothing. The features are taken into memory as float64: give a few thousand
images at most.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from tl_cli.engine.head.problem import check_labels, chunks, mean_of
from tl_cli.engine.head.ridge import left_factor

Array = NDArray[Any]


def logme(features: Array, labels: ArrayLike, classes: int) -> float:
    """Return the log evidence per image of a Bayesian linear model, mean over classes (You 2021).

    Features [N, D], labels int [N]; higher is better; classes with no image are left out. The
    evidence of a class is the density of its one-hot column under ``N(0, F F' / a + 1 / b)``,
    greatest over a and b. It is evaluated with the rank of F where the published code has D, which
    is wrong for fewer images than features. For a given a / b the best b is closed, so one scalar
    search a class replaces the paper's fixed point. Raises ValueError on bad input.
    """
    x, labels = _taken(features, labels, classes)
    t, values = left_factor(x)
    y = np.eye(classes)[labels][:, np.unique(labels)]
    projected = (t.T @ y) ** 2 / values[:, None]
    rest = np.maximum((y**2).sum(0) - projected.sum(0), 0.0)
    pairs = zip(projected.T, rest, strict=True)
    return float(np.mean([_evidence(values, p, r, len(x)) for p, r in pairs]))


def _evidence(values: Array, projected: Array, rest: float, n: int) -> float:
    """Return the log evidence per image, maximised over the ratio of the two precisions."""
    # Keeps the logarithm finite where the features explain the column to the last digit.
    floor = n * 1e-12

    def negative(log_ratio: float) -> float:
        shrink = 1 / (1 + values * np.exp(-log_ratio))
        square = max(float(projected @ shrink + rest), floor)
        return 0.5 * float(np.log(2 * np.pi * square / n) + 1 - np.log(shrink).sum() / n)

    # Evidence may have two peaks, so the search is bounded to the best of a coarse grid.
    grid = np.linspace(-25.0, 25.0, 101) + np.log(max(values.mean(), 1e-300) if len(values) else 1)
    best = int(np.argmin([negative(g) for g in grid]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(negative, bounds=bounds, method="bounded")
    return -min(float(found.fun), negative(grid[best]))


def h_score(features: Array, labels: ArrayLike, classes: int) -> float:
    """Return the H-score, tr(cov(f)^-1 cov(E[f | y])) (Bao 2019), 0 to classes - 1, regularised.

    Features [N, D], labels int [N]; higher is better. The covariance of the features is shrunk as
    by Ledoit and Wolf (2004) and the result multiplied by one minus the shrinkage (Ibrahim 2021):
    unshrunk, it is classes - 1 for anything with fewer images than features. 0 where nothing
    varies. Raises ValueError on bad input.
    """
    x, labels = _taken(features, labels, classes)
    x -= x.mean(0)
    n, d = x.shape
    t, values = left_factor(x)
    if not len(values):
        return 0.0
    shrinkage = _ledoit_wolf(t, values, d)
    kept = (1 - shrinkage) * values / n + shrinkage * values.sum() / (n * d)
    one_hot = np.eye(classes)[labels]
    count = np.maximum(one_hot.sum(0), 1)
    means = t.T @ one_hot / count
    return float((1 - shrinkage) * np.sum(count / n * means**2 / kept[:, None]))


def _ledoit_wolf(t: Array, values: Array, d: int) -> float:
    """Return the shrinkage 0..1 from centred rows t [N, r], their Gram eigenvalues and width d."""
    n = len(t)
    square = float(np.sum((values / n) ** 2))
    spread = square - float(values.sum() / n) ** 2 / d
    noise = (float(np.sum(np.sum(t**2, axis=1) ** 2)) / n - square) / n
    return min(noise / spread, 1.0) if spread > 1e-12 * square else 0.0


def knn_accuracy(features: Array, labels: ArrayLike, k: int = 5) -> float:
    """Return the leave-one-out accuracy of k nearest neighbours by cosine, 0..1.

    Features [N, D], labels int [N], at least two images. A tied vote goes to the more similar
    neighbours; k is at most N - 1. Raises ValueError on bad input.
    """
    classes = int(np.max(labels, initial=0)) + 1
    x, labels = _taken(features, labels, classes)
    if len(x) < 2 or k < 1:
        raise ValueError(f"neighbours need two images and k >= 1, got {len(x)} images and k {k}")
    k = min(k, len(x) - 1)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    hits = 0
    for start, part in chunks(x):
        similarity = part @ x.T
        row = np.arange(len(part))[:, None]
        similarity[row[:, 0], start + row[:, 0]] = -np.inf
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(part), classes))
        np.add.at(votes, (row, labels[nearest]), 1 + 1e-3 * similarity[row, nearest] / k)
        hits += int(np.sum(votes.argmax(1) == labels[start : start + len(part)]))
    return hits / len(x)


def _taken(features: Array, labels: ArrayLike, classes: int) -> tuple[Array, Array]:
    checked = check_labels(features, labels, classes)
    mean_of(features, np.ones(len(checked)))
    return np.array(features[:], np.float64), checked
