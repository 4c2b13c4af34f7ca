"""How accuracy grows with the training images: heads solved on quarters, on halves, on all.

On features that are there already. Knows nothing of images and networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl_cli.engine.head import solver
from tl_cli.engine.head.problem import stratified_folds, take_groups
from tl_cli.engine.head.row_blocks import Features, taken
from tl_cli.results.learning_curve import CurvePoint, LearningCurve

Array = NDArray[Any]

PARTS = 4  # the smallest point is of a quarter of the images
LEAST = 2  # images a class in the mean, below which a part is left out
FEW = 1_000  # images up to which the parts are drawn twice: a small part is a matter of luck
LEAST_HELD_OUT = 10  # images; with fewer one is worth more than a doubling


def learning_curve(
    features: Features,
    labels: Array,
    held_out: Features,
    held_out_labels: Array,
    classes: int,
    widths: Sequence[int],
    *,
    seed: int = 0,
    sample_weight: Array | None = None,
    groups: Array | None = None,
) -> LearningCurve | None:
    """Return the accuracy of ridge heads on parts of the training images; None for too few.

    `features` [N, D] and `held_out` [M, D], float; `widths`: the columns of each depth that is
    joined. The parts are stratified by class, and images of one group stay together.
    """
    if len(held_out) < LEAST_HELD_OUT:
        return None
    points, rights = [], []
    for part in (PARTS, PARTS // 2, 1):
        subsets = list(_subsets(labels, part, seed, groups))
        size = sum(map(len, subsets)) / len(subsets)
        if size < LEAST * classes:
            continue
        right = np.stack([
            _right(
                taken(features, rows), labels[rows], held_out, held_out_labels, classes, widths,
                seed,
                None if sample_weight is None else sample_weight[rows],
                take_groups(groups, rows),
            )
            for rows in subsets
        ])  # fmt: skip
        points.append(CurvePoint(round(size), float(right.mean()), len(subsets)))
        rights.append(right)
    if len(points) < 2:
        return None
    return LearningCurve(tuple(points), len(held_out), _stderr(*rights[-2:]))


def _subsets(labels: Array, part: int, seed: int, groups: Array | None) -> Iterator[Array]:
    """Yield rows: all, or disjoint parts that hold 1/part of the images each."""
    if part == 1:
        yield np.arange(len(labels))
        return
    for again in range(2 if len(labels) <= FEW else 1):
        fold = stratified_folds(labels, PARTS, seed + again, groups)
        together = PARTS // part
        for first in range(0, PARTS, together):
            rows = np.flatnonzero((fold >= first) & (fold < first + together))
            if len(rows) > 1:
                yield rows


def _right(
    features: Features,
    labels: Array,
    held_out: Features,
    held_out_labels: Array,
    classes: int,
    widths: Sequence[int],
    seed: int,
    sample_weight: Array | None,
    groups: Array | None,
) -> Array:
    """Return which held-out images a head solved on these rows recognises, bool [M]."""
    head = solver.solve_depths(
        features, widths, labels, classes, seed=seed, sample_weight=sample_weight, groups=groups,
        method="ridge",
    )  # fmt: skip
    right: Array = head.probabilities(held_out).argmax(1) == held_out_labels
    return right


def _stderr(before: Array, after: Array) -> float:
    """Return the standard error of the gain, of bool [repeats, M] each.

    Of the images that it was measured on, paired, and of which images the parts happen to hold.
    """
    by_image = after.mean(0) - before.mean(0)
    images = by_image.std(ddof=1) / np.sqrt(len(by_image))
    repeats = len(before)
    parts = before.mean(1).std(ddof=1) / np.sqrt(repeats) if repeats > 1 else 0.0
    return float(np.hypot(images, parts))
