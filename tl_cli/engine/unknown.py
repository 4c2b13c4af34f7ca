"""How unlike everything that a head was trained on an image is, from its features alone.

The Mahalanobis distance to the nearest class mean (Lee et al. 2018, arXiv:1807.03888), on features
of unit length, under the classes' common covariance, shrunk (Ledoit and Wolf 2004), with all but
its widest directions taken alike (Tipping and Bishop 1999). Chosen by measurement, docs/unknown.md.
Linear algebra on features; knows nothing of networks and files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

from tl_cli.engine.head.linear_head import join
from tl_cli.engine.head.problem import stratified_folds, take_groups
from tl_cli.engine.head.ridge import one_thread
from tl_cli.engine.head.row_blocks import Features, RowBlocks

Array = NDArray[Any]

KEPT = 0.99  # share of the training images that count as known when they are held out
FOLDS = 5
LEAST = 20  # images; of fewer, held out, no threshold can be read off
MOST = 4_000  # images that the covariance, and the threshold, are estimated from
MOST_VALUES = 40_000_000  # of these images' features
RANK = 256  # directions of the covariance that are kept; 1,984 tell no more (docs/unknown.md)
SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class UnknownScore:
    """Class means and covariance of features of unit length, and where the unknown begins.

    The inverse covariance is ``rest * I - directions @ diag(less) @ directions.T``.
    """

    divisors: Array  # float32 [D], what features are divided by before they get unit length
    means: Array  # float32 [C, D], of the classes that have images
    directions: Array  # float32 [D, R], orthonormal
    less: Array  # float32 [R], 0 to `rest`
    rest: float
    threshold: float = math.inf  # squared distance

    def distances(self, features: Array) -> Array:
        """Return squared distances to the nearest class mean, float64 [n], of features [n, D]."""
        rows = _unit(features.astype("float64") / self.divisors)
        root = self.directions.astype("float64") * np.sqrt(self.less.astype("float64"))
        means = self.means.astype("float64")
        apart = self.rest * _squares(rows, means) - _squares(rows @ root, means @ root)
        return np.asarray(apart.min(axis=1))

    def scores(self, features: Array) -> Array:
        """Return how unlike the training images features [n, D] are, float64 [n].

        Above 1 it is unlike: further away than 99 % of the training images were when held out.
        """
        return np.sqrt(np.maximum(self.distances(features), 0) / self.threshold)


def fit(
    features: Features,
    labels: ArrayLike,
    widths: Sequence[int],
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> UnknownScore | None:
    """Fit the score to features [n, D] of labels int [n]; its threshold to held-out folds.

    `widths`: columns of each depth that was joined. The threshold is the distance that `KEPT` of
    the images, each held out with its fold and group, stay below, and all but the furthest where
    there are fewer than a hundred: distances of images that were fitted to are too small. None
    where there are too few images, or all are alike.
    """
    labels = np.asarray(labels)
    chosen = _some(features.shape[0], features.shape[1], seed)
    x, y = features[chosen], labels[chosen]
    if isinstance(features, RowBlocks):  # class means of some, too: of very many, they are as good
        features, labels, chosen = x, y, np.arange(len(y))
    whole = _fitted(features, labels, widths, chosen)
    if len(y) < LEAST or whole is None:
        return None
    groups = take_groups(None if groups is None else np.asarray(groups), chosen)
    fold = stratified_folds(y, FOLDS, seed, groups)
    distances = [_held_out(x, y, widths, fold == number) for number in range(fold.max() + 1)]
    threshold = _threshold(np.sort(np.concatenate(distances)))
    return replace(whole, threshold=threshold) if threshold > 0 else None


def _some(n: int, width: int, seed: int) -> Array:
    """Return which images are used, in order: all, or as many as are enough and fit in memory."""
    most = min(MOST, max(LEAST, MOST_VALUES // width))
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def _held_out(x: Array, y: Array, widths: Sequence[int], held: Array) -> Array:
    """Return the distances of the images that are held out; of classes without others, none."""
    fitted = _fitted(x[~held], y[~held], widths, np.arange(int((~held).sum())))
    asked = held & np.isin(y, y[~held])
    return np.empty(0) if fitted is None or not asked.any() else fitted.distances(x[asked])


def _threshold(ordered: Array) -> float:
    """Return the least distance that `KEPT` of those held out stay below, one more counted in."""
    n = len(ordered)
    return float(ordered[min(n, math.ceil(KEPT * (n + 1))) - 1]) if n else 0.0


def _fitted(
    features: Array, labels: Array, widths: Sequence[int], chosen: Array
) -> UnknownScore | None:
    """Return class means of all images, and the covariance of those that are chosen."""
    joined, divisors = join(np.split(features, np.cumsum(widths)[:-1], axis=1))
    rows = _unit(joined)
    names, numbers = np.unique(labels, return_inverse=True)
    means = np.stack([rows[numbers == i].mean(0) for i in range(len(names))])
    own, x = numbers[chosen], rows[chosen].astype("float64")
    freedom = len(x) - len(np.unique(own))
    residuals = x - means[own] if freedom > 1 else x - x.mean(0)
    residuals *= np.sqrt(len(x) / max(1, freedom))  # each mean has taken one image's freedom
    spread = float((residuals**2).mean())  # of a direction, on average
    if spread < SMALLEST:
        return None
    with one_thread():
        shrinkage, values, directions = _covariance(residuals)
    others = max(1, residuals.shape[1] - len(values))
    left = max(0.0, spread * residuals.shape[1] - float(values.sum())) / others
    floor = shrinkage * spread
    rest = 1 / max((1 - shrinkage) * left + floor, SMALLEST)
    less = np.clip(rest - 1 / ((1 - shrinkage) * values + floor), 0, rest)
    return UnknownScore(
        divisors=divisors.astype("float32"),
        means=means.astype("float32"),
        directions=directions.astype("float32"),
        less=less.astype("float32"),
        rest=rest,
    )


def _covariance(residuals: Array) -> tuple[float, Array, Array]:
    """Return how much the covariance of rows [n, D] is to be shrunk, and what is widest in it.

    The shrinkage is that of Ledoit and Wolf, 0 to 1, by the Gram matrix of rows or of columns,
    whichever is smaller; then the largest eigenvalues [R] and their directions [D, R].
    """
    n, width = residuals.shape
    dual = n < width
    gram = (residuals @ residuals.T if dual else residuals.T @ residuals) / n
    squares, trace = float((gram**2).sum()), float(np.trace(gram))
    lengths = float(((residuals**2).sum(1) ** 2).mean())
    apart = squares - trace**2 / width  # from a multiple of the identity
    shrinkage = min(1.0, max(0.0, (lengths - squares) / n) / apart) if apart > 0 else 1.0
    last = len(gram) - 1
    values, vectors = eigh(gram, subset_by_index=[max(0, last + 1 - RANK), last])
    keep = values > max(n, width) * np.finfo("float64").eps * max(values[-1], 0)
    values, vectors = values[keep], vectors[:, keep]
    directions = residuals.T @ vectors / np.sqrt(values * n) if dual else vectors
    return shrinkage, values, directions


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, SMALLEST))


def _squares(a: Array, b: Array) -> Array:
    """Return squared distances [n, m] between rows [n, d] and [m, d]."""
    return np.asarray((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T)
