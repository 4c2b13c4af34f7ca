"""A head for a quantity: ridge on the standardised number, one output in the number's own unit.

Numpy and scipy only. Knows nothing of images and networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tl_cli.engine.head.problem import check_values, chunks
from tl_cli.engine.head.ridge import ridge
from tl_cli.engine.head.row_blocks import Features
from tl_cli.results.training import RegressionHeadResult

if TYPE_CHECKING:
    from tl_cli.engine.head.kernel import Kernel

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class RegressionHead:
    """A Dense layer: ``features @ weights + bias`` are values, in the unit of the labels.

    Centring, scaling and the labels' mean and deviation are folded in, so the features go in as
    they are. With a `kernel` the layer stands behind that one.
    """

    weights: Array  # float32 [D, 1], or [M, 1]
    bias: Array  # float32 [1]
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
        return np.concatenate([self._values(chunk) for _, chunk in chunks(features)])

    def _values(self, features: Array) -> Array:
        seen = self.kernel.likenesses(features) if self.kernel else features
        values: Array = seen.astype(np.float32) @ self.weights + self.bias
        return values

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
    folds: int = 5,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    method: str = "auto",
) -> RegressionHead:
    """Solve for values [N] on features [N, D]; images of a group stay together.

    Strength: the least squared error over folds that are stratified by the values' quantiles.
    `classes`, `method`: as of `solver.solve`; there is one output, and but ridge.
    Raises ValueError on bad input.
    """
    values = np.asarray(values, np.float64)
    mean, deviation = float(values.mean()), float(values.std()) or 1.0
    problem = check_values(
        features, (values - mean) / deviation, sample_weight, folds, seed, groups
    )
    solution = ridge(problem)
    weights = solution.weights / solution.scale
    bias = solution.intercept - problem.mean @ weights
    held_out = solution.scores * deviation + mean
    errors = held_out[:, 0] - values
    return RegressionHead(
        (weights * deviation).astype(np.float32),
        (bias * deviation + mean).astype(np.float32),
        strength=solution.strength,
        held_out=held_out.astype(np.float32),
        cv_mae=float(np.abs(errors).mean()),
        cv_rmse=float(np.sqrt(np.mean(errors**2))),
        cv_r2=float(1 - np.sum(errors**2) / (len(values) * deviation**2)),
    )


def losses(held_out: Array, values: Array) -> Array:
    """Return each image's squared error, float64 [N], of values said [N, 1]."""
    squares: Array = (held_out[:, 0].astype(np.float64) - values) ** 2
    return squares
