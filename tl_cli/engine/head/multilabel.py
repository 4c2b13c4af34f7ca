"""A head for several labels an image: ridge on the indicators, a calibrated sigmoid for each class.

And from which probability on a label is said. Numpy, scipy and scikit-learn only; knows nothing of
images and networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score

from tl_cli.engine.head import platt
from tl_cli.engine.head.problem import check, chunks
from tl_cli.engine.head.ridge import ridge
from tl_cli.engine.head.row_blocks import Features
from tl_cli.engine.metrics.figures import log_losses
from tl_cli.results.training import MultilabelHeadResult

Array = NDArray[Any]

LEAST_OF_OWN = 10  # images with a label, from which on it has a threshold of its own


@dataclass(frozen=True, eq=False)
class MultilabelHead:
    """A Dense layer: ``sigmoid(features @ weights + bias)`` are calibrated, a class by itself.

    Centring, scaling and the sigmoids' slopes are folded in, so the features go in as they are.
    """

    weights: Array  # float32 [D, C]
    bias: Array  # float32 [C]
    strength: float  # ridge penalty chosen
    held_out: Array  # float32 [N, C], calibrated probabilities of each image when held out
    thresholds: tuple[float, ...]  # by class: from it on a label is said
    average_precision: float  # mean over classes, of the held-out probabilities
    log_loss: float  # nats a class, held out
    slopes: Array  # float64 [C], of the sigmoids: what raw scores were multiplied by
    intercepts: Array  # float64 [C], and what was added to that
    kind: str = "ridge"

    def probabilities(self, features: Features) -> Array:
        """Return float32 [N, C] for features [N, D] of any float dtype."""
        parts = [
            expit(chunk.astype(np.float32) @ self.weights + self.bias)
            for _, chunk in chunks(features)
        ]
        return np.concatenate(parts)

    def on_raw(self, scales: Array) -> MultilabelHead:
        """Return the head for features before they were divided by ``scales`` [D]."""
        return replace(self, weights=(self.weights / scales[:, None]).astype(np.float32))

    def calibrated_as(self, other: MultilabelHead) -> MultilabelHead:
        """Return this head with another's sigmoids on its raw scores.

        A label whose scores said nothing, here or there, keeps its own.
        """
        known = (self.slopes > 0) & (other.slopes > 0)
        ratio = np.where(known, other.slopes / np.where(known, self.slopes, 1), 1)
        shift = np.where(known, other.intercepts - self.intercepts * ratio, 0)
        return replace(
            self,
            weights=(self.weights * ratio).astype(np.float32),
            bias=(self.bias * ratio + shift).astype(np.float32),
            slopes=np.where(known, other.slopes, self.slopes),
            intercepts=np.where(known, other.intercepts, self.intercepts),
        )

    def result(self, kind: str) -> MultilabelHeadResult:
        """Return its figures. `kind`: last or multi."""
        return MultilabelHeadResult(kind, self.strength, self.average_precision, self.log_loss)


def solve(
    features: Features,
    indicators: ArrayLike,
    classes: int,
    *,
    folds: int = 5,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    method: str = "auto",
) -> MultilabelHead:
    """Solve for indicators [N, C] of 0 and 1 on features [N, D]; images of a group stay together.

    Strength: the least squared error over folds by iterative stratification. `method`: as of
    `solver.solve`; there is but ridge.
    """
    problem = check(features, indicators, classes, sample_weight, folds, seed, groups)
    solution = ridge(problem)
    slopes, intercepts = platt.fit(solution.scores, problem.labels)
    held_out = expit(solution.scores * slopes + intercepts)
    weights = solution.weights / solution.scale * slopes
    bias = (solution.intercept - problem.mean @ (solution.weights / solution.scale)) * slopes
    present = problem.labels.sum(0) > 0
    return MultilabelHead(
        weights.astype(np.float32),
        (bias + intercepts).astype(np.float32),
        strength=solution.strength,
        held_out=held_out.astype(np.float32),
        thresholds=thresholds(held_out, problem.labels),
        average_precision=float(
            average_precision_score(problem.labels[:, present], held_out[:, present])
        ),
        log_loss=float(log_losses(held_out, problem.labels).mean()),
        slopes=slopes,
        intercepts=intercepts,
    )


def thresholds(held_out: Array, indicators: Array) -> tuple[float, ...]:
    """Return from which held-out probability [N, C] on each label is best said, by its F1.

    Labels of few images share the threshold that is best over all labels together: one of their own
    would be that of a handful of images.
    """
    common = _best_f1(held_out.ravel(), indicators.ravel())
    return tuple(
        _best_f1(p, y) if y.sum() >= LEAST_OF_OWN else common
        for p, y in zip(held_out.T, indicators.T, strict=True)
    )


def _best_f1(p: Array, is_of: Array) -> float:
    """Return the threshold of the greatest F1, halfway between two probabilities."""
    order = np.argsort(-p, kind="stable")
    ranked, hits = p[order], np.cumsum(is_of[order])
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + is_of.sum())
    ends = np.append(ranked[:-1] > ranked[1:], True)  # a threshold does not part equal ones
    best = int(np.argmax(np.where(ends, f1, -1)))
    below = ranked[best + 1] if best + 1 < len(p) else 0.0
    return float((ranked[best] + below) / 2)
