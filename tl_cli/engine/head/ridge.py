"""Ridge regression on one-hot targets with exact held-out predictions, in two ways.

Few images: one decomposition and the block identity. Many: one Gram matrix a fold. Both give the
same numbers. Knows nothing of temperatures and probabilities.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from threadpoolctl import ThreadpoolController

from tl_cli.engine.head.problem import Problem, chunks

Array = NDArray[Any]

# Ridge penalties tried, in units of the mean eigenvalue of the scaled Gram matrix: half decades.
STRENGTHS = 10.0 ** np.arange(-5.0, 2.01, 0.5)
# Images per feature up to which the block identity is the faster way. Measured with 5 folds and
# 1,280 features, seconds by blocks and by down-dating: 1,000 images 0.5 and 3.4, 2,000 images 1.3
# and 2.9, 3,000 images 5.1 and 5.6; with 64 features and 2,500 images 0.32 and 0.01.
BLOCKS_UP_TO = 2


@dataclass(frozen=True, eq=False)
class Solution:
    """A ridge head before its temperature, on features centred and divided by ``scale``."""

    strength: float
    scale: float
    weights: Array  # float64 [D, C]
    intercept: Array  # float64 [C]
    scores: Array  # float64 [N, C], held out


@functools.cache
def _threads() -> ThreadpoolController:
    """Return what sets the number of threads; it goes through all libraries of the process."""
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Return a context with one BLAS thread.

    The factorisations here are small, and OpenBLAS threads wait for one another where another
    process has the cores: 0.4 s became 20 s on two cores with one other busy process.
    """
    return _threads().limit(limits=1, user_api="blas")


def ridge(problem: Problem) -> Solution:
    """Solve with the strength of the least squared error over the folds."""
    n, d = problem.x.shape
    return (_by_blocks if n <= BLOCKS_UP_TO * d else _by_downdating)(problem)


def _penalties(problem: Problem) -> Array:
    # The mean eigenvalue of the scaled Gram matrix is max(N, D).
    return STRENGTHS * max(problem.x.shape)


def left_factor(a: Array) -> tuple[Array, Array]:
    """Return T [N, r] and eigenvalues [r] > 0 with ``a a' = T T'`` and ``T' T`` diagonal."""
    dual = len(a) < a.shape[1]
    with one_thread():
        values, vectors = eigh(a @ a.T if dual else a.T @ a, driver="evd", check_finite=False)
    keep = values > max(a.shape) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    values, vectors = values[keep], vectors[:, keep]
    return (vectors * np.sqrt(values) if dual else a @ vectors), values


def _by_blocks(problem: Problem) -> Solution:
    """Few images: one decomposition, and for each fold f ``e_f = (I - H_ff)^-1 (Y - H Y)_f``."""
    z, y, root, fold = problem.rows(0, np.asarray(problem.x[:], np.float64))
    scale = problem.scale(float(np.sum((root * z) ** 2)))
    a, target, n = root * z / scale, root * y, len(y)
    best, strength, errors, residual = np.inf, np.nan, target, target
    with one_thread():
        t, values = left_factor(a)
        # The intercept is one more direction, with no penalty: the rows are centred, so it is
        # orthogonal to the rest.
        t = np.concatenate([root, t], axis=1)
        for tried in _penalties(problem):
            gain = 1 / np.append(n, values + tried)
            left = target - t @ (gain[:, None] * (t.T @ target))
            held_out = _held_out(t * np.sqrt(gain), left, fold)
            squared = float(np.sum(held_out**2))
            if squared < best:
                best, strength, errors, residual = squared, float(tried), held_out, left
    weights = a.T @ residual / strength
    return Solution(strength, scale, weights, (root * target).sum(0) / n, y - errors / root)


def _held_out(half: Array, residual: Array, fold: Array) -> Array:
    """Return held-out residuals [N, C] from the residuals, where the hat matrix is half half'."""
    errors = np.empty_like(residual)
    for f in range(fold.max() + 1):
        held = np.flatnonzero(fold == f)
        kept = np.eye(len(held)) - half[held] @ half[held].T
        errors[held] = cho_solve(cho_factor(kept, overwrite_a=True), residual[held])
    return errors


def _by_downdating(problem: Problem) -> Solution:
    """Many images: one Gram matrix a fold, each held out by subtracting its own (Woodbury)."""
    grams, crosses, scale = _fold_grams(problem)
    gram, cross = grams.sum(0), crosses.sum(0)

    def without(f: int, strength: float) -> Array:
        return _ridge(gram - grams[f], cross - crosses[f], strength)

    def squared(f: int, b: Array) -> float:
        return float(np.sum(b * (grams[f] @ b - 2 * crosses[f])))

    folds = range(len(grams))
    with one_thread():
        squares = [sum(squared(f, without(f, s)) for f in folds) for s in _penalties(problem)]
        strength = float(_penalties(problem)[np.argmin(squares)])
        held_out = [without(f, strength) for f in folds]
        b = _ridge(gram, cross, strength)
    scores = np.empty((len(problem.labels), problem.classes))
    for start, chunk in chunks(problem.x):
        z, _, _, fold = problem.rows(start, chunk)
        for f in folds:
            held = fold == f
            scores[start + np.flatnonzero(held)] = (
                z[held] / scale @ held_out[f][:-1] + held_out[f][-1]
            )
    return Solution(strength, scale, b[:-1], b[-1], scores)


def _fold_grams(problem: Problem) -> tuple[Array, Array, float]:
    """Return [k, D+1, D+1] and [k, D+1, C] of the scaled rows with a last column of ones."""
    k, d = problem.fold.max() + 1, problem.x.shape[1]
    grams, crosses = np.zeros((k, d + 1, d + 1)), np.zeros((k, d + 1, problem.classes))
    for start, chunk in chunks(problem.x):
        z, y, root, fold = problem.rows(start, chunk)
        z, y = np.append(root * z, root, axis=1), root * y
        for f in range(k):
            held = z[fold == f]
            grams[f] += held.T @ held
            crosses[f] += held.T @ y[fold == f]
    scale = problem.scale(float(np.trace(grams.sum(0)[:-1, :-1])))
    unit = np.append(np.full(d, 1 / scale), 1.0)
    return grams * unit[:, None] * unit, crosses * unit[:, None], scale


def _ridge(gram: Array, cross: Array, strength: float) -> Array:
    """Solve for [D+1, C] with the last row, the intercept, free of the penalty."""
    penalised = gram.copy()
    penalised[np.diag_indices(len(gram) - 1)] += strength
    return cho_solve(cho_factor(penalised, overwrite_a=True, check_finite=False), cross)
