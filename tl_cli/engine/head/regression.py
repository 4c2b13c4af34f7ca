"""A head for a quantity: ridge on the standardised number, whose answers are in its own unit.

Numpy and scipy only. Knows nothing of images and networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tl_cli.engine.head.problem import check_values, chunks
from tl_cli.engine.head.ridge import ridge
from tl_cli.engine.head.row_blocks import Features
from tl_cli.results.training import RegressionHeadResult

if TYPE_CHECKING:
    from tl_cli.engine.head.kernel import Kernel

Array = NDArray[Any]


class Scale(NamedTuple):
    """What a network's scores are to be multiplied by, and what is added: its values in a unit."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Array) -> Scale:
        """Return the scale of values of any shape; a deviation of 1 where all are the same."""
        return cls(float(values.mean()), float(values.std()) or 1.0)

    def values(self, scores: Array) -> Array:
        """Return scores as values in their unit."""
        return scores * self.deviation + self.mean

    def scores(self, values: Array) -> Array:
        """Return values as scores, of mean 0 and deviation 1."""
        return (values - self.mean) / self.deviation


@dataclass(frozen=True, eq=False)
class RegressionHead:
    """A Dense layer: ``features @ weights + bias`` are scores, and values by its `scale`.

    Centring and scaling of the features are folded in, so they go in as they are. With a `kernel`
    the layer stands behind that one.
    """

    weights: Array  # float32 [D, 1], or [M, 1]
    bias: Array  # float32 [1]
    scale: Scale
    strength: float  # ridge penalty chosen
    held_out: Array  # float32 [N, 1], each image's value when it was held out
    cv_mae: float  # mean absolute error of these, in the unit of the labels
    cv_rmse: float
    cv_r2: float
    kind: str = "ridge"  # "ridge" | "kernel"
    kernel: Kernel | None = None
    factor: float | None = None  # of the kernel's width, times that of the median distance
    temperature: float = 1.0  # there is nothing to calibrate

    def probabilities(self, features: Features) -> Array:
        """Return the values, float32 [N, 1], for features [N, D] of any float dtype."""
        parts = [self.scale.values(self._scores(chunk)) for _, chunk in chunks(features)]
        return np.concatenate(parts).astype(np.float32)

    def _scores(self, features: Array) -> Array:
        seen = self.kernel.likenesses(features) if self.kernel else features
        scores: Array = seen.astype(np.float32) @ self.weights + self.bias
        return scores

    def on_raw(self, scales: Array) -> RegressionHead:
        """Return the head for features before they were divided by ``scales`` [D]."""
        return replace(self, weights=(self.weights / scales[:, None]).astype(np.float32))

    def result(self, kind: str) -> RegressionHeadResult:
        """Return its figures. `kind`: last, multi or kernel."""
        return RegressionHeadResult(kind, self.strength, self.cv_mae, self.cv_rmse, self.cv_r2)


def solve(
    features: Features,
    values: ArrayLike,
    classes: int = 1,
    *,
    scale: Scale | None = None,
    folds: int = 5,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    method: str = "auto",
) -> RegressionHead:
    """Solve for values [N, 1] on features [N, D]; images of a group stay together.

    `scale`: by which values are standardised; None: their own. Strength: the least squared error
    over folds that are stratified by the values' quantiles. `classes`, `method`: as of
    `solver.solve`; there is one output, and but ridge. Raises ValueError on bad input.
    """
    values = np.asarray(values, np.float64)
    scale = scale or Scale.of(values)
    targets = scale.scores(values)
    problem = check_values(features, targets, sample_weight, folds, seed, groups)
    solution = ridge(problem)
    weights = solution.weights / solution.scale
    held_out = scale.values(solution.scores)
    errors = held_out - values
    squares, variance = float(np.mean(errors**2)), float(values.var())
    return RegressionHead(
        weights.astype(np.float32),
        (solution.intercept - problem.mean @ weights).astype(np.float32),
        scale,
        strength=solution.strength,
        held_out=held_out.astype(np.float32),
        cv_mae=float(np.abs(errors).mean()),
        cv_rmse=squares**0.5,
        cv_r2=1 - squares / variance if variance else 0.0,
    )
