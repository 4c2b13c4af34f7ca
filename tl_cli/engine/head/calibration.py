"""How sure an answer may be: temperatures, judged on images that they were not fitted to.

Guo et al. 2017, "On calibration of modern neural networks" (arXiv:1706.04599): one number, which
changes no answer. Numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from tl_cli.engine.head.linear_head import fit_temperature
from tl_cli.engine.head.problem import stratified_folds

Array = NDArray[Any]


def _softmax(scores: Array, temperature: float) -> Array:
    return np.asarray(softmax(scores / temperature, axis=1))


def calibrated_by_halves(
    scores: Array,
    labels: Array,
    *,
    weights: Array | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    fit: Callable[[Array, Array, Array | None], float] = fit_temperature,
    answers: Callable[[Array, float], Array] = _softmax,
) -> Array:
    """Return probabilities float64 [n, C] for scores [n, C] of images of known labels int [n].

    `fit`: the temperature for scores, labels and weights; `answers`: what scores say at one. Both
    of another kind of labels than one class an image: see `tuning`.

    Each half, groups kept whole, is divided by the temperature that the other one asks for: so a
    candidate is not preferred for a temperature that was fitted to the images that judge it. One
    image cannot be halved: its scores are taken as they are.
    """
    if len(labels) < 2 or (groups is not None and len(np.unique(groups)) < 2):
        return answers(scores, 1.0)
    half = stratified_folds(labels, 2, seed, groups)
    probabilities = np.empty(scores.shape, "float64")
    for own in (0, 1):
        others = half != own
        weight = None if weights is None else weights[others]
        temperature = fit(scores[others], labels[others], weight)
        probabilities[~others] = answers(scores[~others], temperature)
    return probabilities
