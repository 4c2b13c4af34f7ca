"""From features and labels to a calibrated head: ridge, then logistic where that pays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from tl_cli.engine.head.linear_head import (
    LinearHead,
    fit_temperature,
    on_depths,
    paired_gain,
    quality,
)
from tl_cli.engine.head.logistic import refine
from tl_cli.engine.head.problem import Problem, check
from tl_cli.engine.head.ridge import ridge
from tl_cli.engine.head.row_blocks import Features

Array = NDArray[Any]


# Where "auto" tries the logistic head: above this many images, and up to this much work (images x
# features x classes), which is about half a minute on two busy cores. Measured with EfficientNet-
# Lite0 at 128 px on the last tap, ridge and logistic, test accuracy, held-out log loss, seconds:
#   sign digits,    840 images, 10 classes: 88.6 % and 87.2 %, 0.344 and 0.359, 0.4 s and 1.0 s
#   fashion,        840 images, 10 classes: 85.6 % and 84.2 %, 0.537 and 0.528, 0.4 s and 1.2 s
#   Greek letters,  336 images, 24 classes: 94.4 % and 88.9 %, 0.435 and 0.431
#   seven sets in one,  610 images, 61 classes: 74.8 % and 73.7 %, 1.027 and 0.863, 0.5 s and 6.5 s
#   seven sets in one, 1816 images, 61 classes: 83.2 % and 83.4 %, 0.777 and 0.601, 4 s and 12 s
#   seven sets in one, 4436 images, 61 classes: 84.5 % and 85.8 %, 0.703 and 0.494, 5 s and 34 s
# No set with few classes and thousands of images was at hand: there the folds alone decide.
LOGISTIC_ABOVE = 2_000
LOGISTIC_WORK = 4e8


def solve(
    features: Features,
    labels: ArrayLike,
    classes: int,
    *,
    folds: int = 5,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    method: str = "auto",
) -> LinearHead:
    """Solve a classifier on features [N, D] (any float dtype; what lies on disk is read in
    chunks, see `row_blocks`).

    Ridge regression on one-hot targets with a free intercept. The features are centred and divided
    by ONE factor, never each by its own deviation: a feature that hardly varies would get a huge
    weight. Strength is chosen on the squared error of stratified folds, temperature on their log
    loss. A class of one image works, its held-out prediction simply misses. ``sample_weight`` [N]
    (positive) counts in the fit, the strength and the temperature, not in the accuracy and log loss
    reported. Images of one group [N] are held out together.

    ``method``: "ridge", "logistic" (see `refine`), or "auto": ridge, and logistic where there are
    more than 2,000 images, the work is bearable, and it is then better held out: in log loss by
    more than one standard error, and no worse in accuracy, both weighted as the fit is.

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
    refined = refine(head, problem)
    return refined if method == "logistic" or _better(refined, head, problem) else head


def solve_depths(
    features: Features, widths: Sequence[int], labels: ArrayLike, classes: int, **options: Any
) -> LinearHead:
    """Solve a head on the columns of one depth, or of several that are joined: see `on_depths`."""
    return on_depths(solve, features, widths, labels, classes, **options)


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


def _better(refined: LinearHead, head: LinearHead, problem: Problem) -> bool:
    gain, error = paired_gain(refined.held_out, head.held_out, problem.labels, problem.weight)
    before, after = (h.held_out.argmax(1) == problem.labels for h in (head, refined))
    return gain > error and bool(problem.weight @ after >= problem.weight @ before)
