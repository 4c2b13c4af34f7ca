"""Heads in closed form, and transferability scores, on features that are already there.

Numpy and scipy only. Knows nothing of images, networks, files or the command line: what goes in is
an array of features and an array of labels, what comes out is one Dense layer or one number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

Array = NDArray[Any]

# Ridge penalties tried, in units of the mean eigenvalue of the scaled Gram matrix: half decades.
STRENGTHS = 10.0 ** np.arange(-5.0, 2.01, 0.5)
# Rows turned to float64 at a time where the features may be larger than memory.
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A Dense layer: ``softmax(features @ weights + bias)`` are calibrated probabilities.

    Centring, scaling and temperature are folded in, so the features go in as they are.
    """

    weights: Array  # float32 [D, C]
    bias: Array  # float32 [C]
    strength: float  # ridge penalty chosen, on features centred and divided by one global factor
    temperature: float  # what the raw scores were divided by
    cv_accuracy: float  # share of images right when held out
    cv_log_loss: float  # nats, mean over held-out images
    cv_stderr: float  # standard error of cv_accuracy, never 0
    held_out: Array  # float32 [N, C], calibrated probabilities of each image when held out
    kind: str = "ridge"  # "ridge" | "logistic"

    def probabilities(self, features: Array) -> Array:
        """Return float32 [N, C] for features [N, D] of any float dtype."""
        parts = [
            softmax(chunk.astype(np.float32) @ self.weights + self.bias, axis=1)
            for _, chunk in _chunks(features)
        ]
        return np.concatenate(parts)

    def on_raw(self, scales: Array) -> LinearHead:
        """Return the head for features before they were divided by ``scales`` [D] (see `join`)."""
        return replace(self, weights=(self.weights / scales[:, None]).astype(np.float32))


@dataclass(frozen=True, eq=False)
class _Problem:
    """Checked inputs: features [N, D] as given, labels, mean-one weights [N], folds [N]."""

    x: Array
    labels: Array
    classes: int
    weight: Array
    fold: Array
    mean: Array  # float64 [D], weighted

    @property
    def penalties(self) -> Array:
        """Return the strengths in absolute terms: the mean eigenvalue is ``max(N, D)``."""
        return STRENGTHS * max(self.x.shape)

    def rows(self, start: int, chunk: Array) -> tuple[Array, Array, Array, Array]:
        """Return a chunk's centred rows, one-hot targets, root weights and folds, in float64."""
        part = slice(start, start + len(chunk))
        root = np.sqrt(self.weight[part])[:, None]
        return chunk - self.mean, np.eye(self.classes)[self.labels[part]], root, self.fold[part]


@dataclass(frozen=True, eq=False)
class _Solution:
    """A ridge head before its temperature, on features centred and divided by ``scale``."""

    strength: float
    scale: float
    weights: Array  # float64 [D, C]
    intercept: Array  # float64 [C]
    scores: Array  # float64 [N, C], held out


def solve(
    features: Array,
    labels: ArrayLike,
    classes: int,
    *,
    folds: int = 5,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> LinearHead:
    """Solve a classifier on features [N, D] (any float dtype; a memory map is read in chunks).

    Ridge regression on one-hot targets with a free intercept. The features are centred and divided
    by ONE factor, never each by its own deviation: a feature that hardly varies would get a huge
    weight. Strength is chosen on the squared error of stratified folds, temperature on their log
    loss. A class of one image works, its held-out prediction simply misses. ``sample_weight`` [N]
    (positive) counts in the fit, the strength and the temperature, not in the accuracy and log loss
    reported. Images of one group [N] are held out together. Raises ValueError on bad input.
    """
    problem = _check(features, labels, classes, sample_weight, folds, seed, groups)
    n, d = features.shape
    solution = (_by_blocks if n <= d else _by_downdating)(problem)
    temperature = _fit_temperature(solution.scores, problem.labels, problem.weight)
    weights = solution.weights / (solution.scale * temperature)
    bias = solution.intercept / temperature - problem.mean @ weights
    held_out = softmax(solution.scores / temperature, axis=1)
    return LinearHead(
        weights.astype(np.float32),
        bias.astype(np.float32),
        strength=solution.strength,
        temperature=temperature,
        **_quality(held_out, problem.labels),
        held_out=held_out.astype(np.float32),
    )


def stratified_folds(
    labels: Array, folds: int = 5, seed: int = 0, groups: ArrayLike | None = None
) -> Array:
    """Deal images into folds: int [N], each class and each fold even to within one image.

    Groups stay whole and are dealt by their most frequent class, largest first. There are
    ``min(folds, images in the smallest class)`` folds, but at least two.
    """
    unit = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((unit.max() + 1, labels.max() + 1), np.int32)
    np.add.at(counts, (unit, labels), 1)
    present = np.bincount(labels)
    k = max(2, min(folds, int(present[present > 0].min())))
    shuffle = np.random.default_rng(seed).permutation(len(counts))
    order = np.lexsort((shuffle, -counts.sum(1), counts.argmax(1)))
    dealt = np.empty(len(counts), np.intp)
    dealt[order] = np.arange(len(counts)) % k
    return dealt[unit]


def _check(
    features: Array,
    labels: ArrayLike,
    classes: int,
    sample_weight: ArrayLike | None,
    folds: int,
    seed: int,
    groups: ArrayLike | None,
) -> _Problem:
    labels = _check_labels(features, labels, classes)
    n = len(labels)
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weight.shape != (n,) or not np.all(weight > 0) or not np.all(np.isfinite(weight)):
        raise ValueError(f"sample_weight must be {n} positive finite numbers")
    if groups is not None and (np.shape(groups) != (n,) or len(np.unique(groups)) < 2):
        raise ValueError(f"groups must be {n} values with at least two different ones")
    if n < 2 or folds < 2:
        raise ValueError(f"held-out predictions need two images and two folds, got {n}, {folds}")
    weight = weight / weight.mean()
    fold = stratified_folds(labels, folds, seed, groups)
    return _Problem(features, labels, classes, weight, fold, _mean(features, weight))


def _check_labels(features: Array, labels: ArrayLike, classes: int) -> Array:
    labels = np.asarray(labels)
    if features.ndim != 2 or features.shape[1] == 0 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"features must be [N, D] and labels [N], got {features.shape} and {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}")
    return labels.astype(np.intp)


def _chunks(features: Array) -> Iterator[tuple[int, Array]]:
    for start in range(0, len(features), CHUNK):
        yield start, np.asarray(features[start : start + CHUNK], np.float64)


def _mean(features: Array, weight: Array) -> Array:
    total = sum(weight[i : i + len(chunk)] @ chunk for i, chunk in _chunks(features))
    mean = np.asarray(total) / weight.sum()
    if not np.all(np.isfinite(mean)):
        bad = [i + r for i, c in _chunks(features) for r in np.flatnonzero(~np.isfinite(c).all(1))]
        raise ValueError(
            f"features hold NaN or infinite values in {len(bad)} of {len(features)} rows, "
            f"the first is row {bad[0] if bad else '?'}"
        )
    return mean


def _left_factor(a: Array) -> tuple[Array, Array]:
    """Return T [N, r] and eigenvalues [r] > 0 with ``a a' = T T'`` and ``T' T`` diagonal."""
    dual = len(a) < a.shape[1]
    values, vectors = eigh(a @ a.T if dual else a.T @ a, driver="evd", check_finite=False)
    keep = values > max(a.shape) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    values, vectors = values[keep], vectors[:, keep]
    return (vectors * np.sqrt(values) if dual else a @ vectors), values


def _by_blocks(problem: _Problem) -> _Solution:
    """Few images: one decomposition, and for fold f ``e_f = (I - H_ff)^-1 (Y - H Y)_f``."""
    z, y, root, fold = problem.rows(0, np.asarray(problem.x, np.float64))
    scale = _scale_of(np.sum((root * z) ** 2), problem)
    a = root * z / scale
    t, values = _left_factor(a)
    # The intercept is one more direction, with the penalty 0: the rows are centred, so it is
    # orthogonal to the rest.
    t = np.concatenate([root, t], axis=1)
    target = root * y
    best: tuple[float, float, Array] | None = None
    for strength in problem.penalties:
        gain = 1 / np.append(len(z), values + strength)
        errors = target - t @ (gain[:, None] * (t.T @ target))
        for f in range(fold.max() + 1):
            held = np.flatnonzero(fold == f)
            block = t[held] * np.sqrt(gain)
            factor = cho_factor(np.eye(len(held)) - block @ block.T, check_finite=False)
            errors[held] = cho_solve(factor, errors[held], check_finite=False)
        squared = float(np.sum(errors**2))
        if best is None or squared < best[0]:
            best = squared, float(strength), errors
    assert best is not None
    strength, errors = best[1:]
    gain = 1 / (values + strength)
    intercept = target.sum(0, where=True) if False else (root * target).sum(0) / len(z)
    fitted = t[:, 1:].T @ target
    dual = (target - root * intercept - t[:, 1:] @ (gain[:, None] * fitted)) / strength
    return _Solution(strength, scale, a.T @ dual, intercept, y - errors / root)


def _by_downdating(problem: _Problem) -> _Solution:
    """Many images: one Gram matrix a fold, each held out by subtracting its own (Woodbury)."""
    grams, crosses, scale = _fold_grams(problem)
    gram, cross = grams.sum(0), crosses.sum(0)
    squares = np.zeros(len(problem.penalties))
    for held_gram, held_cross in zip(grams, crosses, strict=True):
        for i, strength in enumerate(problem.penalties):
            b = _ridge(gram - held_gram, cross - held_cross, strength)
            squares[i] += np.sum(b * (held_gram @ b - 2 * held_cross))
    strength = float(problem.penalties[squares.argmin()])
    solutions = np.stack(
        [_ridge(gram - g, cross - c, strength) for g, c in zip(grams, crosses, strict=True)]
    )
    scores = np.empty((len(problem.labels), problem.classes))
    for start, chunk in _chunks(problem.x):
        z, _, _, fold = problem.rows(start, chunk)
        z /= scale
        for f, b in enumerate(solutions):
            scores[start + np.flatnonzero(fold == f)] = z[fold == f] @ b[:-1] + b[-1]
    b = _ridge(gram, cross, strength)
    return _Solution(strength, scale, b[:-1], b[-1], scores)


def _fold_grams(problem: _Problem) -> tuple[Array, Array, float]:
    """Return [k, D+1, D+1] and [k, D+1, C] of the scaled rows with a last column of ones."""
    k, d = problem.fold.max() + 1, problem.x.shape[1]
    grams, crosses = np.zeros((k, d + 1, d + 1)), np.zeros((k, d + 1, problem.classes))
    for start, chunk in _chunks(problem.x):
        z, y, root, fold = problem.rows(start, chunk)
        z, y = np.append(root * z, root, axis=1), root * y
        for f in range(k):
            held = z[fold == f]
            grams[f] += held.T @ held
            crosses[f] += held.T @ y[fold == f]
    scale = _scale_of(np.trace(grams[:, :-1, :-1].sum(0)), problem)
    unit = np.append(np.full(d, 1 / scale), 1.0)
    return grams * unit[:, None] * unit, crosses * unit[:, None], scale


def _ridge(gram: Array, cross: Array, strength: float) -> Array:
    """Solve for [D+1, C] with the last row, the intercept, free of the penalty."""
    penalised = gram.copy()
    penalised[np.diag_indices(len(gram) - 1)] += strength
    return cho_solve(cho_factor(penalised, overwrite_a=True, check_finite=False), cross)


def _scale_of(squares: float, problem: _Problem) -> float:
    """Return the one global factor: the root of the mean variance; 1 where nothing varies."""
    root = float(np.sqrt(squares / problem.x.size))
    floor = 1e-10 * float(np.abs(problem.mean).max())
    return root if root > floor else 1.0


def _fit_temperature(scores: Array, labels: Array, weight: Array) -> float:
    """Return what to divide the scores by for the least log loss.

    One made-up image with no class is spread over the data (Platt 1999), or a handful of images
    without a mistake would ask for infinite confidence.
    """
    n = len(labels)
    blank = 1 / (n + 1)

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(scores / np.exp(log_temperature), axis=1)
        own = log_p[np.arange(n), labels]
        return -float(np.average((1 - blank) * own + blank * log_p.mean(1), weights=weight))

    found = minimize_scalar(loss, bounds=(np.log(1e-3), np.log(1e2)), method="bounded")
    return float(np.exp(found.x))


def _quality(held_out: Array, labels: Array) -> dict[str, float]:
    n = len(labels)
    hits = int(np.sum(held_out.argmax(1) == labels))
    share = (hits + 1) / (n + 2)  # Laplace: no mistake in ten images is no proof of none
    return {
        "cv_accuracy": hits / n,
        "cv_log_loss": float(np.mean(_losses(held_out, labels))),
        "cv_stderr": float(np.sqrt(share * (1 - share) / n)),
    }


def _losses(probabilities: Array, labels: Array) -> Array:
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.maximum(own, np.finfo(np.float32).tiny))


def join(taps: Sequence[Array], out: Array | None = None) -> tuple[Array, Array]:
    """Join taps [N, D_t], each divided by its own root mean square: the input of a `multi` head.

    Returns float32 [N, sum D_t] (or fills ``out``, such as a memory map) and the scales as float32
    [sum D_t], one value per tap repeated; ``head.on_raw(scales)`` acts on the taps as they are.
    The root mean square is that of the centred features; 1 for a tap that does not vary.
    """
    n, widths = len(taps[0]), [tap.shape[1] for tap in taps]
    if any(len(tap) != n for tap in taps):
        raise ValueError(f"taps must have one row per image, got {[len(tap) for tap in taps]} rows")
    scales = np.repeat([_deviation(tap) for tap in taps], widths).astype(np.float32)
    joined = np.empty((n, sum(widths)), np.float32) if out is None else out
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        joined[part] = np.concatenate([tap[part] for tap in taps], axis=1) / scales
    return joined, scales


def _deviation(tap: Array) -> float:
    mean = _mean(tap, np.ones(len(tap)))
    square = sum(float(np.sum((chunk - mean) ** 2)) for _, chunk in _chunks(tap)) / tap.size
    return float(np.sqrt(square)) if square > 0 else 1.0


def choose_head(last: LinearHead, multi: LinearHead, labels: ArrayLike) -> str:
    """Return "multi" where its held-out log loss is better by more than one standard error.

    Paired over images, labels int [N]; otherwise "last", the simpler one.
    """
    labels = np.asarray(labels)
    gain = _losses(last.held_out, labels) - _losses(multi.held_out, labels)
    return "multi" if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)) else "last"
