"""How sure an answer may be: temperatures, judged on images that they were not fitted to.

Guo et al. 2017, "On calibration of modern neural networks" (arXiv:1706.04599): one number, which
changes no answer. Numpy and scipy only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from tl_cli.engine.head.linear_head import fit_temperature
from tl_cli.engine.head.problem import stratified_folds

Array = NDArray[Any]


def calibrated_by_halves(
    scores: Array,
    labels: Array,
    *,
    weights: Array | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Array:
    """Return probabilities float64 [n, C] for scores [n, C] of images of known labels int [n].

    Each half, groups kept whole, is divided by the temperature that the other one asks for: so a
    candidate is not preferred for a temperature that was fitted to the images that judge it. One
    image cannot be halved: its scores are taken as they are.
    """
    if len(labels) < 2 or (groups is not None and len(np.unique(groups)) < 2):
        return softmax(scores, axis=1)
    half = stratified_folds(labels, 2, seed, groups)
    probabilities = np.empty(scores.shape, "float64")
    for own in (0, 1):
        others = half != own
        weight = None if weights is None else weights[others]
        temperature = fit_temperature(scores[others], labels[others], weight)
        probabilities[~others] = softmax(scores[~others] / temperature, axis=1)
    return probabilities
