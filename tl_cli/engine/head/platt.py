"""Scores -> probabilities, a class by itself: the sigmoid of Platt 1999, fitted to held-out scores.

Platt, "Probabilistic outputs for support vector machines". Numpy and scipy only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

Array = NDArray[Any]


def fit(scores: Array, indicators: Array) -> tuple[Array, Array]:
    """Return slopes >= 0 and intercepts [C] of ``sigmoid(slope * score + intercept)``.

    `scores` [N, C], held out; `indicators` [N, C] of 0 and 1. As Platt has it one made-up image of
    either kind keeps a class that is told apart without a mistake from infinite confidence. A class
    whose scores say nothing, or the opposite, gets its frequency.
    """
    pairs = [_sigmoid(s, y) for s, y in zip(scores.T, indicators.T, strict=True)]
    slopes, intercepts = np.array(pairs).reshape(-1, 2).T
    return slopes, intercepts


def _sigmoid(scores: Array, is_of: Array) -> tuple[float, float]:
    positive = float(is_of.sum())
    negative = len(is_of) - positive
    target = np.where(is_of > 0.5, (positive + 1) / (positive + 2), 1 / (negative + 2))
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    z = (scores - centre) / spread

    def loss(way: Array) -> tuple[float, Array]:
        logits = way[0] * z + way[1]
        error = expit(logits) - target
        value = np.logaddexp(0, logits) - target * logits
        return float(value.sum()), np.array([error @ z, error.sum()])

    share = float(target.mean())
    start = np.array([1.0, np.log(share / (1 - share))])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=((0, None), (None, None))).x
    return float(found[0] / spread), float(found[1] - found[0] * centre / spread)


def temperature(
    scores: Array, neutral: Array, indicators: Array, weight: Array | None = None
) -> float:
    """Return what the distance of scores [N, C] from neutral ones [C] is to be divided by.

    One number for all labels, for the least log loss of ``neutral + (scores - neutral) / T``, each
    image counting alike or by its weight [N]. One made-up image of the neutral probabilities is
    spread over the data, or a handful of images without a mistake would ask for infinite
    confidence.
    """
    n = len(scores)
    target = (n * indicators + expit(neutral)) / (n + 1)
    apart = scores - neutral

    def loss(log_temperature: float) -> float:
        logits = neutral + apart / np.exp(log_temperature)
        each = (np.logaddexp(0, logits) - target * logits).mean(1)
        return float(np.average(each, weights=weight))

    found = minimize_scalar(loss, bounds=(np.log(1e-3), np.log(1e2)), method="bounded")
    return float(np.exp(found.x))
