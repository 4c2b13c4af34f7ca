"""The Dense layer that a probe ends in: what it predicts, how good it was held out, which to take.

Knows nothing of how its weights were found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from tl_cli.engine.head.problem import CHUNK, chunks, extent, global_scale, mean_of
from tl_cli.engine.head.row_blocks import Features, RowBlocks, divided
from tl_cli.engine.metrics.figures import LEAST_PROBABILITY, log_losses
from tl_cli.results.training import HeadResult

if TYPE_CHECKING:
    from tl_cli.engine.head.kernel import Kernel

Array = NDArray[Any]
Losses = Callable[[Array, Array], Array]  # what was said [N, C], labels -> [N]


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A Dense layer: ``softmax(features @ weights + bias)`` are calibrated probabilities.

    Centring, scaling and temperature are folded in, so the features go in as they are. With a
    `kernel` the layer stands behind that one, and takes likenesses to M images in their place.
    """

    weights: Array  # float32 [D, C], or [M, C]
    bias: Array  # float32 [C]
    strength: float  # ridge penalty chosen, on features centred and divided by one global factor
    temperature: float  # what the raw scores were divided by
    cv_accuracy: float  # share of images right when held out
    cv_log_loss: float  # nats, mean over held-out images
    cv_stderr: float  # standard error of cv_accuracy, never 0
    held_out: Array  # float32 [N, C], calibrated probabilities of each image when held out
    kind: str = "ridge"  # "ridge" | "logistic" | "kernel"
    kernel: Kernel | None = None
    factor: float | None = None  # of the kernel's width, times that of the median distance

    def probabilities(self, features: Features) -> Array:
        """Return float32 [N, C] for features [N, D] of any float dtype."""
        parts = [
            softmax(self._seen(chunk).astype(np.float32) @ self.weights + self.bias, axis=1)
            for _, chunk in chunks(features)
        ]
        return np.concatenate(parts)

    def _seen(self, features: Array) -> Array:
        return self.kernel.likenesses(features) if self.kernel else features

    def result(self, kind: str) -> HeadResult:
        """Return its figures. `kind`: last or multi."""
        return HeadResult(
            kind=kind,
            strength=self.strength,
            temperature=self.temperature,
            cv_accuracy=self.cv_accuracy,
            cv_log_loss=self.cv_log_loss,
            cv_stderr=self.cv_stderr,
        )

    def on_raw(self, scales: Array) -> LinearHead:
        """Return the head for features before they were divided by ``scales`` [D] (see `join`)."""
        return replace(self, weights=(self.weights / scales[:, None]).astype(np.float32))

    def calibrated_as(self, other: LinearHead) -> LinearHead:
        """Return this head with its raw scores divided by what another's were divided by."""
        factor = self.temperature / other.temperature
        return replace(
            self,
            weights=self.weights * factor,
            bias=self.bias * factor,
            temperature=other.temperature,
        )


def of_one_label(head: object) -> LinearHead:
    """Return a head as that of a task with one label an image, whose figures have an accuracy."""
    if not isinstance(head, LinearHead):
        raise TypeError(f"one label an image is meant, got {type(head).__name__}")
    return head


class HeldOut(Protocol):
    """A head of whatever kind, by what it said of images that were held out."""

    @property
    def held_out(self) -> Array: ...


def scores_of(probabilities: Array) -> Array:
    """Return scores that softmax turns into the probabilities [n, C]: their logarithms, float64."""
    return np.log(np.maximum(probabilities.astype("float64"), LEAST_PROBABILITY))


def fit_temperature(scores: Array, labels: Array, weight: Array | None = None) -> float:
    """Return what to divide the scores by for the least log loss, each image counting alike or not.

    One made-up image with no class is spread over the data (Platt 1999), or a handful of images
    without a mistake would ask for infinite confidence.
    """
    n = len(labels)
    blank = 1 / (n + 1)

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(scores / np.exp(log_temperature), axis=1)
        own = log_p[np.arange(n), labels]
        return -float(np.average((1 - blank) * own + blank * log_p.mean(1), weights=weight))

    found = minimize_scalar(loss, bounds=(np.log(1e-3), np.log(1e2)), method="bounded")
    return float(np.exp(found.x))


def quality(held_out: Array, labels: Array) -> dict[str, Any]:
    n = len(labels)
    hits = int(np.sum(held_out.argmax(1) == labels))
    share = (hits + 1) / (n + 2)  # Laplace: no mistake in ten images is no proof of none
    return {
        "cv_accuracy": hits / n,
        "cv_log_loss": float(np.mean(log_losses(held_out, labels))),
        "cv_stderr": float(np.sqrt(share * (1 - share) / n)),
    }


def paired_gain(
    held_out: Array,
    other: Array,
    labels: Array,
    weight: Array | None = None,
    losses: Losses = log_losses,
) -> tuple[float, float]:
    """Return by how much log loss `held_out` is better than `other`, nats, and the standard error.

    Both probabilities [N, C] of the same images, labels int [N]; each image counts alike, or with
    its weight [N]. `losses`: another loss of each image, where the labels are no classes.
    """
    gain = losses(other, labels) - losses(held_out, labels)
    share = np.full(len(gain), 1.0) if weight is None else np.asarray(weight, np.float64)
    share = share / share.sum()
    mean = float(share @ gain)
    spread = np.sum((share * (gain - mean)) ** 2) * len(gain) / max(len(gain) - 1, 1)
    return mean, float(np.sqrt(spread))


def join(
    taps: Sequence[Array],
    out: Array | None = None,
    size: Callable[[float, int, Array], float] = global_scale,
) -> tuple[Array, Array]:
    """Join taps [N, D_t], each divided by its own size.

    Returns float32 [N, sum D_t] (or fills ``out``, such as a memory map) and the scales as float32
    [sum D_t], one value per tap repeated; ``head.on_raw(scales)`` acts on the taps as they are.
    The size: by `global_scale` the root mean square of the centred features, so that each column
    counts alike; by `extent` their root mean square length, so that each depth does. 1 for a tap
    that does not vary.
    """
    n, widths = len(taps[0]), [tap.shape[1] for tap in taps]
    if any(len(tap) != n for tap in taps):
        raise ValueError(f"taps must have one row per image, got {[len(tap) for tap in taps]} rows")
    scales = np.repeat([_size_of(tap, size) for tap in taps], widths).astype(np.float32)
    joined = np.empty((n, sum(widths)), np.float32) if out is None else out
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        joined[part] = np.concatenate([tap[part] for tap in taps], axis=1) / scales
    return joined, scales


def join_depths(features: Features, widths: Sequence[int]) -> tuple[Features, Array]:
    """Return the columns of several depths joined, and by what each was divided: see `join`.

    The input of a `multi` head, where each depth counts as much as any other, however many columns
    it has: a sum of linear kernels of one trace each (Gönen and Alpaydın 2011, section 2), measured
    by scripts/bench_depths.py, see docs/heads.md.
    """
    if isinstance(features, RowBlocks):
        return joined_on_disk(features, widths)
    return join(np.split(features, np.cumsum(widths)[:-1], axis=1), size=extent)


class OnRaw(Protocol):
    """A head that can be made to take features as they were before they were divided."""

    def on_raw(self, scales: Array) -> Any: ...


Solved = TypeVar("Solved", bound=OnRaw)


def on_depths(
    solve: Callable[..., Solved],
    features: Features,
    widths: Sequence[int],
    targets: ArrayLike,
    classes: int,
    **options: Any,
) -> Solved:
    """Solve a head on the columns of one depth, or of several that are joined: see `join`.

    `features` [N, sum of widths] are as the network gives them, and so the head takes them.
    `options`: those of `solve`.
    """
    if len(widths) == 1:
        return solve(features, targets, classes, **options)
    joined, scales = join_depths(features, widths)
    head: Solved = solve(joined, targets, classes, **options).on_raw(scales)
    return head


def joined_on_disk(features: RowBlocks, widths: Sequence[int]) -> tuple[RowBlocks, Array]:
    """As `join_depths`, of taps [N, sum of widths] on disk side by side: nothing is copied."""
    mean = mean_of(features, np.ones(len(features)))
    squares = np.zeros(len(mean))
    for _, chunk in chunks(features):
        squares += np.sum((chunk - mean) ** 2, axis=0)
    ends = np.cumsum(widths)[:-1]
    by_tap = zip(np.split(squares, ends), np.split(mean, ends), strict=True)
    extents = [extent(float(s.sum()), len(features), m) for s, m in by_tap]
    scales = np.repeat(extents, widths).astype(np.float32)
    return divided(features, scales), scales


def _size_of(tap: Array, size: Callable[[float, int, Array], float]) -> float:
    mean = mean_of(tap, np.ones(len(tap)))
    squares = sum(float(np.sum((chunk - mean) ** 2)) for _, chunk in chunks(tap))
    return size(squares, len(tap), mean)


def choose_head(
    last: HeldOut,
    multi: HeldOut,
    labels: ArrayLike,
    weight: Array | None = None,
    losses: Losses = log_losses,
) -> str:
    """Return "last" where its held-out loss is better by more than one standard error.

    Paired over images, labels int [N] or indicators [N, C], with the weights [N] that the heads
    were fitted with; otherwise "multi", which was as good or better on nearly all sets that were
    tried (docs/policy.md).
    """
    gain, error = paired_gain(last.held_out, multi.held_out, np.asarray(labels), weight, losses)
    return "last" if gain > error else "multi"
