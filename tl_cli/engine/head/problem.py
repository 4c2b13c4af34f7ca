"""What a probe is given, checked: features, labels, weights and folds; read in chunks.

Features may be anything that has a shape and slices along its rows: an array, a memory map.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from tl_cli.data import quantities, stratification
from tl_cli.engine.head.row_blocks import Features

Array = NDArray[Any]

# Rows turned to float64 at a time where the features may be larger than memory.
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Problem:
    """Checked inputs: features [N, D] as given, labels, mean-one weights [N], folds [N].

    `labels`: class numbers [N]; or indicators of 0 and 1 [N, C], where an image may have several;
    or values [N, 1].
    """

    x: Features
    labels: Array
    classes: int
    weight: Array
    fold: Array
    mean: Array  # float64 [D], weighted

    def scale(self, squares: float) -> float:
        """Return the one factor that all features are divided by."""
        return global_scale(squares, len(self.labels), self.mean)

    def rows(self, start: int, chunk: Array) -> tuple[Array, Array, Array, Array]:
        """Return a chunk's centred rows, one-hot targets, root weights and folds, in float64."""
        part = slice(start, start + len(chunk))
        root = np.sqrt(self.weight[part])[:, None]
        return chunk - self.mean, self.targets(part), root, self.fold[part]

    def targets(self, part: slice) -> Array:
        """Return what is to be predicted of some images, float64 [n, C]."""
        own = self.labels[part]
        return np.eye(self.classes)[own] if own.ndim == 1 else own


def stratified_folds(
    labels: ArrayLike, folds: int = 5, seed: int = 0, groups: ArrayLike | None = None
) -> Array:
    """Deal images into folds: int [N] from 0, by scikit-learn; the seed decides.

    Without groups each class and each fold is even to within one image. Groups stay whole, and each
    class is as even as they let it be. A class of fewer images than folds is simply missing from
    some: fewer folds for its sake would train every other class on less, and make held-out accuracy
    up to 14 points too low (trashnet, 10 a class). There are fewer folds only where there are fewer
    images or groups. Of indicators [N, C] each fold has its share of each label, as nearly as can
    be (see `stratification`).
    """
    labels = np.asarray(labels)
    if labels.ndim == 2:
        return _iterative_folds(labels, folds, seed, groups)
    unit = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    k = max(2, min(folds, unit.max() + 1))
    # Where no class has an image for each fold scikit-learn refuses: then one more class, which has
    extra = k if np.bincount(labels).max() < k else 0
    y = np.append(labels, np.full(extra, labels.max() + 1))
    unit = np.append(unit, unit.max() + 1 + np.arange(extra))
    way = StratifiedKFold if groups is None else StratifiedGroupKFold
    dealt = way(k, shuffle=True, random_state=seed).split(y, y, None if groups is None else unit)
    fold = np.empty(len(y), np.intp)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, held) in enumerate(dealt):
            fold[held] = number
    return np.unique(fold[: len(labels)], return_inverse=True)[1]  # none is empty


def _iterative_folds(indicators: Array, folds: int, seed: int, groups: ArrayLike | None) -> Array:
    """Deal images of several labels into folds, int [N]."""
    n = len(indicators)
    unit = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(unit.max() + 1)
    labels: list[dict[int, int]] = [{} for _ in order]
    for number, row in zip(unit, indicators, strict=True):
        for label in np.flatnonzero(row).tolist():
            labels[number][label] = labels[number].get(label, 0) + 1
    sizes = np.bincount(unit)
    k = max(2, min(folds, len(order)))
    dealt = stratification.dealt([labels[i] for i in order], sizes[order].tolist(), [1 / k] * k)
    fold = np.empty(len(order), np.intp)
    fold[order] = dealt
    return np.unique(fold[unit], return_inverse=True)[1]


def take_groups(groups: Array | None, rows: Array) -> Array | None:
    """Return the groups of some rows; None where there are none, or fewer than two are left."""
    part = None if groups is None else groups[rows]
    return part if part is not None and len(np.unique(part)) > 1 else None


def check(
    features: Features,
    labels: ArrayLike,
    classes: int,
    sample_weight: ArrayLike | None,
    folds: int,
    seed: int,
    groups: ArrayLike | None,
) -> Problem:
    """Return the checked inputs of `solve`, with their folds. Raises ValueError on bad ones."""
    labels = check_labels(features, labels, classes)
    fold_by = labels
    return _problem(features, labels, classes, fold_by, sample_weight, folds, seed, groups)


def check_values(
    features: Features,
    values: ArrayLike,
    sample_weight: ArrayLike | None,
    folds: int,
    seed: int,
    groups: ArrayLike | None,
) -> Problem:
    """Return the checked inputs of a regression on values [N, 1], with folds by their quantiles."""
    values = np.asarray(values, np.float64)
    shape = features.shape
    if len(shape) != 2 or shape[1] == 0 or values.shape != (shape[0], 1):
        raise ValueError(f"features must be [N, D], values [N, 1], got {shape}, {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite")
    bins = np.array(quantities.bins(values[:, 0].tolist()), np.intp)
    return _problem(features, values, 1, bins, sample_weight, folds, seed, groups)


def _problem(
    features: Features,
    labels: Array,
    classes: int,
    fold_by: Array,
    sample_weight: ArrayLike | None,
    folds: int,
    seed: int,
    groups: ArrayLike | None,
) -> Problem:
    n = len(labels)
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weight.shape != (n,) or not np.all(weight > 0) or not np.all(np.isfinite(weight)):
        raise ValueError(f"sample_weight must be {n} positive finite numbers")
    if groups is not None and (np.shape(groups) != (n,) or len(np.unique(groups)) < 2):
        raise ValueError(f"groups must be {n} values with at least two different ones")
    if n < 2 or folds < 2:
        raise ValueError(f"held-out predictions need two images and two folds, got {n}, {folds}")
    weight = weight / weight.mean()
    fold = stratified_folds(fold_by, folds, seed, groups)
    return Problem(features, labels, classes, weight, fold, mean_of(features, weight))


def check_labels(features: Features, labels: ArrayLike, classes: int) -> Array:
    labels = np.asarray(labels)
    shape = features.shape
    if labels.ndim == 2:
        return _check_indicators(features, labels, classes)
    if len(shape) != 2 or shape[1] == 0 or labels.shape != shape[:1]:
        raise ValueError(f"features must be [N, D] and labels [N], got {shape} and {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}")
    return labels.astype(np.intp)


def _check_indicators(features: Features, indicators: Array, classes: int) -> Array:
    if len(features.shape) != 2 or indicators.shape != (len(features), classes):
        raise ValueError(f"indicators must be [N, {classes}], got {indicators.shape}")
    if not np.isin(indicators, (0, 1)).all():
        raise ValueError("indicators must be 0 or 1")
    return indicators.astype(np.float64)


def chunks(features: Features) -> Iterator[tuple[int, Array]]:
    for start in range(0, len(features), CHUNK):
        yield start, np.asarray(features[start : start + CHUNK], np.float64)


def global_scale(squares: float, n: int, mean: Array) -> float:
    """Return the root of the mean variance from the sum of squared deviations; 1 if it is nil."""
    return float(np.sqrt(squares / (n * len(mean)))) if _varies(squares, n, mean) else 1.0


def _varies(squares: float, n: int, mean: Array) -> bool:
    # Below this it is the rounding of a constant, and dividing by it would turn that into data.
    return float(np.sqrt(squares / (n * len(mean)))) > 1e-10 * np.abs(mean).max()


def extent(squares: float, n: int, mean: Array) -> float:
    """Return the root mean square distance to the mean; 1 where the sum of squares is rounding."""
    return float(np.sqrt(squares / n)) if _varies(squares, n, mean) else 1.0


def mean_of(features: Features, weight: Array) -> Array:
    total = sum(weight[i : i + len(chunk)] @ chunk for i, chunk in chunks(features))
    mean = np.asarray(total) / weight.sum()
    if not np.all(np.isfinite(mean)):
        bad = [i + r for i, c in chunks(features) for r in np.flatnonzero(~np.isfinite(c).all(1))]
        raise ValueError(
            f"features hold NaN or infinite values in {len(bad)} of {len(features)} rows, "
            f"the first is row {bad[0] if bad else '?'}"
        )
    return mean
