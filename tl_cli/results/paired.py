"""Two classifiers on the same images: which is better, and could chance alone explain it? Pure.

Knows nothing of networks and files: what goes in is which images each of them got right, or how
good or how far off each of its answers is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tl_cli.results.intervals import paired_difference

if TYPE_CHECKING:
    import numpy as np

DRAWS = 2000
LEVEL = 0.05  # of the p-value below which a difference is called one


@dataclass(frozen=True)
class Paired:
    """The comparison of a first classifier with a second one; positive: the first is better."""

    n: int
    first_accuracy: float
    second_accuracy: float
    difference: float  # of the accuracies, first minus second
    interval: tuple[float, float]  # of the difference, 95 %
    only_first: int  # images that only the first got right
    only_second: int
    p_value: float  # exact McNemar

    @property
    def verdict(self) -> str:
        """Say in one sentence what follows."""
        if not self.only_first + self.only_second:
            return "A tie: they recognise the very same images."
        counts = f"{self.only_first} images to {self.only_second}, {_chance(self.p_value)}"
        if self.p_value >= LEVEL:
            tie = "A tie" if not self.difference else "No difference beyond chance"
            return f"{tie} ({counts})."
        which = "first" if self.difference > 0 else "second"
        return f"The {which} is better beyond chance ({counts})."

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self) | {"interval": list(self.interval)}


def paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compare which images two classifiers got right: bool [N] each, the same images in order.

    McNemar's test (1947), exact: the images that both got right or wrong say nothing, and of the
    others chance gives each side half. Raises ValueError where the lengths differ or are 0.
    """
    import numpy as np
    from scipy.stats import binomtest

    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape or not len(a):
        raise ValueError(f"the same images are needed, got {len(a)} and {len(b)}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    return Paired(
        n=len(a),
        first_accuracy=float(a.mean()),
        second_accuracy=float(b.mean()),
        difference=(only_a - only_b) / len(a),
        interval=paired_difference(only_a, only_b, len(a)),
        only_first=only_a,
        only_second=only_b,
        p_value=float(binomtest(only_a, discordant).pvalue) if discordant else 1.0,
    )


@dataclass(frozen=True)
class PairedMeans:
    """Two means of a figure that each of the same images has, the first beside the second."""

    n: int
    first_mean: float
    second_mean: float
    difference: float  # first minus second
    interval: tuple[float, float]  # of the difference, 95 %, by resampling images
    p_value: float  # of a permutation test, two-sided
    less_is_better: bool  # as of errors

    @property
    def verdict(self) -> str:
        """Say in one sentence what follows."""
        if not self.difference and not any(self.interval):
            return "A tie: they say the very same."
        if self.p_value >= LEVEL:
            return f"No difference beyond chance ({_chance(self.p_value)})."
        which = "first" if (self.difference < 0) == self.less_is_better else "second"
        return f"The {which} is better beyond chance ({_chance(self.p_value)})."

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        told = asdict(self) | {"interval": list(self.interval)}
        del told["less_is_better"]
        return told


def paired_means(
    first: Sequence[float], second: Sequence[float], *, less_is_better: bool
) -> PairedMeans:
    """Compare a figure of each image, float [N] each, the same images in order.

    The p-value is of a permutation test, the interval of a bootstrap of the pairs (Efron 1993).
    Raises ValueError where the lengths differ or are 0.
    """
    import numpy as np

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or not len(a):
        raise ValueError(f"the same images are needed, got {len(a)} and {len(b)}")
    apart = a - b
    mean = float(apart.mean())
    return PairedMeans(
        n=len(a),
        first_mean=float(a.mean()),
        second_mean=float(b.mean()),
        difference=mean,
        interval=mean_interval(apart) or (mean, mean),
        p_value=permutation_p_value(apart),
        less_is_better=less_is_better,
    )


def permutation_p_value(apart: np.ndarray[Any, Any], seed: int = 0) -> float:
    """Return how often a mean difference is as great where each pair may as well be exchanged.

    Fisher 1935, Pitman 1937; two-sided, by draws of which pairs are. `apart`: float64 [n]. One of
    few images is honest, too: of one image it is 1, of five never less than 2 in 32.
    """
    import numpy as np

    draw, least = np.random.default_rng(seed), abs(apart.mean()) * (1 - 1e-9)
    exchanged = (draw.integers(0, 2, len(apart), "int8") * 2 - 1 for _ in range(DRAWS))
    as_great = sum(abs((signs * apart).mean()) >= least for signs in exchanged)
    return (int(as_great) + 1) / (DRAWS + 1)


def mean_interval(values: np.ndarray[Any, Any], seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of a mean over resampled images (Efron 1993).

    None where all values are the same: resampling then knows nothing.
    """
    import numpy as np

    if not np.ptp(values):
        return None

    means = bootstrap_means(values, seed)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def bootstrap_means(values: np.ndarray[Any, Any], seed: int = 0) -> np.ndarray[Any, Any]:
    """Return the means of resampled images, float64 [draws]; the seed decides the draws."""
    import numpy as np

    draw, n = np.random.default_rng(seed), len(values)
    return np.array([values[draw.integers(0, n, n)].mean() for _ in range(DRAWS)])


def bootstrap_p_value(apart: np.ndarray[Any, Any]) -> float:
    """Return how likely chance alone makes of no difference one as great, by draws of it.

    `apart`: of a paired bootstrap. Two-sided, by the draws on whose other side it lies; one more of
    them counted in.
    """
    beyond = min(int((apart <= 0).sum()), int((apart >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(apart) + 1))


def _chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
