"""A head that bends: a Gaussian kernel on the joined depths, then the same ridge regression.

Each image is described by how like some training images it is, exp(-g |x - z|^2) of the features
with each depth divided by its extent, and a line is solved on that, whitened: kernel ridge
regression (Saunders et al. 1998), with at most CENTRES training images z where there are more
(Nystroem; Williams & Seeger 2001). It is a few dense layers, so that a network with it is saved and
exported as any other. Numpy and scipy only; measured by scripts/bench_heads.py, see docs/heads.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from sklearn.metrics.pairwise import euclidean_distances

from tl_cli.engine.head import solver
from tl_cli.engine.head.linear_head import HeldOut, Losses, join, paired_gain
from tl_cli.engine.head.problem import extent
from tl_cli.engine.head.ridge import one_thread
from tl_cli.engine.metrics.figures import log_losses

Array = NDArray[Any]

KERNEL = "kernel"  # the kind of head
CENTRES = 1_000  # training images that an image is compared with
FACTORS = (0.25, 0.5, 1.0, 2.0)  # of g: times one over the median squared distance of the centres
# Images to train on. With 160 it gained 0.2 points in the mean of twelve sets, with 320 0.7, with
# all, up to 800, 1.2. Where not all of them can be centres it was asked about one set, which has
# 2,000: there it lost 1.1 points, and the folds did not choose it.
FROM, UP_TO = 320, CENTRES
WIDEST = 8_192  # columns, beyond which the centres would be larger than most networks
LEAST_EIGENVALUE = 1e-6  # of the greatest: what is below is rounding


@dataclass(frozen=True, eq=False)
class Kernel:
    """From joined features [n, D] to likenesses [n, M] to M centres, each 0 to 1."""

    centres: Array  # float64 [M, D], divided by `scales`
    scales: Array  # float32 [D]: what the features are divided by
    g: float  # of the squared distance of what was divided

    def likenesses(self, features: Array) -> Array:
        """Return float64 [n, M] for features [n, D] as the network gives them."""
        likenesses: Array = np.exp(-self.g * self.distances(features))
        return likenesses

    def distances(self, features: Array) -> Array:
        """Return the squared distances from features [n, D] to the centres: float64 [n, M]."""
        even = features.astype("float64") / self.scales
        return _squared(even, self.centres)

    def layers(self) -> tuple[Array, Array, Array]:
        """Return [D, M], [M] and [D, 1], float32: a kernel, its bias, and one for the squares.

        -g |x - z|^2 = x a + b + x^2 c, whose exponential the likenesses are.
        """
        weights = 2 * self.g * (self.centres / self.scales).T
        bias = -self.g * (self.centres**2).sum(1)
        squares = -self.g / self.scales.astype("float64") ** 2
        return weights.astype("float32"), bias.astype("float32"), squares[:, None].astype("float32")


def solve_kernel(
    features: Array,
    widths: Sequence[int],
    labels: ArrayLike,
    classes: int,
    *,
    factors: Sequence[float] = FACTORS,
    seed: int = 0,
    solve: Callable[..., Any] = solver.solve,
    loss: Callable[[Any], float] = attrgetter("cv_log_loss"),
    **options: Any,
) -> Any:
    """Solve a kernel head on features [N, sum of widths], of depths that are joined.

    Of the widths that `factors` ask for, the one of the least log loss over the folds. `options`:
    those of `solver.solve`. The head takes features as the network gives them. `solve`, `loss`:
    another line behind the kernel, and what of it is to be least.
    """
    plain, between = _centred(features, widths, seed)
    median = _median(between)
    apart = plain.distances(features)  # once, for all widths
    heads = [
        _solved(solve, plain, factor, median, between, apart, labels, classes, seed=seed, **options)
        for factor in factors
    ]
    return min(heads, key=loss)


def worth(images: int, width: int) -> bool:
    """Whether a kernel head is worth trying on features [images, width]."""
    return FROM <= images <= UP_TO and width <= WIDEST


def better(
    kernel: HeldOut,
    line: HeldOut,
    labels: Array,
    weight: Array | None,
    losses: Losses = log_losses,
) -> bool:
    """Whether the kernel's loss over the folds is less; to ask for more gained less."""
    return paired_gain(kernel.held_out, line.held_out, labels, weight, losses)[0] > 0


def _centred(features: Array, widths: Sequence[int], seed: int) -> tuple[Kernel, Array]:
    """Return the layer for g = 1, and the squared distances between its centres [M, M]."""
    joined, scales = join(np.split(features, np.cumsum(widths)[:-1], axis=1), size=extent)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:CENTRES])
    centres = joined[chosen].astype("float64")
    return Kernel(centres, scales, 1.0), _squared(centres, centres)


def _squared(left: Array, right: Array) -> Array:
    """Return squared distances [n, M]; by one thread, as all of a head is computed."""
    with one_thread():
        return np.asarray(euclidean_distances(left, right, squared=True))


def _median(between: Array) -> float:
    """Return the median distance of different centres; 1 where all are copies of one image."""
    return float(np.median(between[~np.eye(len(between), dtype=bool)])) or 1.0


def _solved(
    solve: Callable[..., Any],
    plain: Kernel,
    factor: float,
    median: float,
    between: Array,
    apart: Array,
    labels: ArrayLike,
    classes: int,
    **options: Any,
) -> Any:
    """Solve behind a kernel, from squared distances of centres [M, M], and to them [N, M]."""
    kernel = replace(plain, g=factor / median)
    with one_thread():
        values, vectors = eigh(np.exp(-kernel.g * between), driver="evd", check_finite=False)
        keep = values > LEAST_EIGENVALUE * values[-1]
        white = vectors[:, keep] / np.sqrt(values[keep])
        seen = np.exp(-kernel.g * apart) @ white
    head = solve(seen, labels, classes, **options, method="ridge")
    weights = (white @ head.weights.astype("float64")).astype("float32")
    return replace(head, weights=weights, kernel=kernel, kind=KERNEL, factor=factor)
