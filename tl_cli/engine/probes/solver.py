"""From features and labels to a calibrated head: ridge, then logistic where that pays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from tl_cli.engine.probes.heads import LinearHead, fit_temperature, losses, quality
from tl_cli.engine.probes.logistic import refine
from tl_cli.engine.probes.problem import Problem, check
from tl_cli.engine.probes.ridge import ridge

Array = NDArray[Any]


# Where "auto" tries the logistic head: above this many images, and up to this much work (images x
# features x classes), which is about half a minute on two cores.
LOGISTIC_ABOVE = 2_000
LOGISTIC_WORK = 4e8


def solve(
    features: Array,
    labels: ArrayLike,
    classes: int,
    *,
    folds: int = 5,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    method: str = "auto",
) -> LinearHead:
    """Solve a classifier on features [N, D] (any float dtype; a memory map is read in chunks).

    Ridge regression on one-hot targets with a free intercept. The features are centred and divided
    by ONE factor, never each by its own deviation: a feature that hardly varies would get a huge
    weight. Strength is chosen on the squared error of stratified folds, temperature on their log
    loss. A class of one image works, its held-out prediction simply misses. ``sample_weight`` [N]
    (positive) counts in the fit, the strength and the temperature, not in the accuracy and log loss
    reported. Images of one group [N] are held out together.

    ``method``: "ridge", "logistic" (see `refine`), or "auto": ridge, and logistic where there are
    many images and it is then better held out. FIGURES

    Raises ValueError on bad input.
    """
    if method not in ("auto", "ridge", "logistic"):
        raise ValueError(f"unknown method {method!r}: valid are auto, ridge, logistic")
    problem = check(features, labels, classes, sample_weight, folds, seed, groups)
    head = _calibrated(problem)
    work = len(problem.labels) * len(problem.mean) * classes
    worth = len(problem.labels) > LOGISTIC_ABOVE and work <= LOGISTIC_WORK
    if method == "ridge" or (method == "auto" and not worth):
        return head
    refined = refine(
        head, features, labels, folds=folds, seed=seed, sample_weight=sample_weight, groups=groups
    )
    return refined if method == "logistic" or _better(refined, head, problem.labels) else head


def _calibrated(problem: Problem) -> LinearHead:
    solution = ridge(problem)
    temperature = fit_temperature(solution.scores, problem.labels, problem.weight)
    weights = solution.weights / (solution.scale * temperature)
    held_out = softmax(solution.scores / temperature, axis=1)
    return LinearHead(
        weights.astype(np.float32),
        (solution.intercept / temperature - problem.mean @ weights).astype(np.float32),
        strength=solution.strength,
        temperature=temperature,
        **quality(held_out, problem.labels),
        held_out=held_out.astype(np.float32),
    )


def _better(refined: LinearHead, head: LinearHead, labels: Array) -> bool:
    gain = losses(head.held_out, labels) - losses(refined.held_out, labels)
    beyond_noise = gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
    return bool(beyond_noise) and refined.cv_accuracy >= head.cv_accuracy
