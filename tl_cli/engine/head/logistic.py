"""Multinomial logistic regression by L-BFGS, started from a ridge head.

Slower than ridge by two orders: `solver` decides where it is worth it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from tl_cli.engine.head.linear_head import LinearHead, fit_temperature, quality
from tl_cli.engine.head.problem import Problem, chunks
from tl_cli.engine.head.ridge import one_thread
from tl_cli.engine.metrics.figures import log_losses

Array = NDArray[Any]

# Penalties tried, strong to weak, on half the squared weights beside the mean log loss: the path
# stops where the held-out loss rises. Measured best: 0.3 to 0.03 with up to 1,000 images of 4 to 10
# classes, 0.003 with 24 and 61 classes.
PENALTIES = 10.0 ** np.arange(0.0, -4.1, -0.5)


def refine(head: LinearHead, problem: Problem) -> LinearHead:
    """Return the logistic head of a problem, started from ``head``.

    The features are centred and divided by one global factor, and held in memory as float32. The
    penalty is chosen on the log loss of the first fold, held-out probabilities come from a fit for
    each fold (started from zero: ``head`` has seen the fold).
    """
    scale = problem.scale(_squares(problem))
    z = np.concatenate([((c - problem.mean) / scale).astype("f4") for _, c in chunks(problem.x)])
    start = np.vstack([head.weights * scale, head.bias + problem.mean @ head.weights])
    with one_thread():
        penalty, first = _choose_penalty(z, problem)
        scores = _held_out(z, problem, penalty, first)
        b = _fit(z, problem, np.ones(len(z), bool), penalty, start)
    temperature = fit_temperature(scores, problem.labels, problem.weight)
    weights = b[:-1] / (scale * temperature)
    held_out = softmax(scores / temperature, axis=1)
    return LinearHead(
        weights.astype(np.float32),
        (b[-1] / temperature - problem.mean @ weights).astype(np.float32),
        strength=penalty,
        temperature=temperature,
        **quality(held_out, problem.labels),
        held_out=held_out.astype(np.float32),
        kind="logistic",
    )


def _held_out(z: Array, problem: Problem, penalty: float, first: Array) -> Array:
    """Return scores [N, C], of each fold from a fit without it; that of fold 0 is there already."""
    scores = np.empty((len(z), problem.classes))
    for f in range(problem.fold.max() + 1):
        held = problem.fold == f
        b = first if f == 0 else _fit(z[~held], problem, ~held, penalty)
        scores[held] = z[held] @ b[:-1] + b[-1]
    return scores


def _squares(problem: Problem) -> float:
    return sum(
        float(np.sum(problem.weight[i : i + len(c), None] * (c - problem.mean) ** 2))
        for i, c in chunks(problem.x)
    )


def _choose_penalty(z: Array, problem: Problem) -> tuple[float, Array]:
    """Return the penalty of the least log loss on the first fold, and the fit without that fold."""
    held = problem.fold == 0
    best, chosen, kept, b = np.inf, float(PENALTIES[0]), None, None
    for penalty in PENALTIES:
        b = _fit(z[~held], problem, ~held, float(penalty), b)
        probabilities = softmax(z[held] @ b[:-1] + b[-1], axis=1)
        losses = log_losses(probabilities, problem.labels[held])
        loss = float(np.average(losses, weights=problem.weight[held]))
        if loss >= best:
            break
        best, chosen, kept = loss, float(penalty), b
    assert kept is not None
    return chosen, kept


def _fit(
    z: Array, problem: Problem, rows: Array, penalty: float, start: Array | None = None
) -> Array:
    """Return [D+1, C], the last row the intercept, for the rows ``z`` of the problem."""
    shape = (z.shape[1] + 1, problem.classes)
    labels, weight = problem.labels[rows], problem.weight[rows]
    share = (weight / weight.sum())[:, None]
    own = (np.arange(len(z)), labels)

    def objective(flat: Array) -> tuple[float, Array]:
        b = flat.reshape(shape)
        log_p = log_softmax(z @ b[:-1].astype(np.float32) + b[-1], axis=1)
        slope = np.exp(log_p)
        slope[own] -= 1
        slope *= share
        gradient = np.vstack([z.T @ slope.astype(np.float32), slope.sum(0)])
        gradient[:-1] += penalty * b[:-1]
        loss = -float(share[:, 0] @ log_p[own]) + penalty / 2 * float(np.sum(b[:-1] ** 2))
        return loss, gradient.ravel().astype(np.float64)

    # A looser end than the default: the held-out loss no longer moves in its third digit.
    options = {"maxiter": 300, "ftol": 1e-5, "gtol": 1e-5}
    x0 = np.zeros(shape) if start is None else start.astype(np.float64)
    found = minimize(objective, x0.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(shape)
