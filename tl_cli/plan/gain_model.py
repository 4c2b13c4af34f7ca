"""What tuning is predicted to gain over the solved head, from what one pass told. Pure.

A linear fit to the runs of scripts/bench_policy.py; scripts/fit_policy.py prints the numbers, and
docs/policy.md explains them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tl_cli.plan.evidence import Evidence

FEATURES = ("head_error", "error_x_images", "unlike", "joined_gain", "pixels")

# By plan: the fit, and its error on data sets that it was not fitted to; all in accuracy.
GAINS: dict[str, tuple[dict[str, float], float]] = {
    "half": (
        {
            "intercept": -0.0907,
            "head_error": 0.1559,
            "error_x_images": 0.0906,
            "unlike": 0.0303,
            "joined_gain": -0.1451,
            "pixels": 0.0934,
        },
        0.058,
    ),
    "full": (
        {
            "intercept": -0.0424,
            "head_error": 0.0360,
            "error_x_images": -0.0090,
            "unlike": -0.0022,
            "joined_gain": -0.0219,
            "pixels": 0.0817,
        },
        0.074,
    ),
}
WORTH = 0.01  # of accuracy: less is not worth the time of tuning
SHARES = {"half": 0.5, "full": 1.0}  # of the layers, trained; the cheaper first


@dataclass(frozen=True)
class Gain:
    """What tuning a share of the layers is predicted to gain over the solved head, in accuracy."""

    share: float  # of the weighted layers, trained
    gain: float
    stderr: float


def features(effective: int, similarity: float, seen: Evidence) -> tuple[float, ...]:
    """Return what the prediction goes by, in the order of FEATURES."""
    return (
        seen.head_error,
        seen.head_error * math.log10(max(effective, 1) / 100),
        1 - similarity,
        seen.joined_gain,
        seen.pixels.accuracy,
    )


def predict(effective: int, similarity: float, seen: Evidence) -> tuple[Gain, ...]:
    """Return the predicted gain of each plan, the cheaper first."""
    given = dict(zip(FEATURES, features(effective, similarity, seen), strict=True))
    return tuple(
        Gain(SHARES[plan], round(_linear(weights, given), 4), error)
        for plan, (weights, error) in GAINS.items()
    )


def choose(told: Sequence[Gain], head_error: float) -> float:
    """Return the share to train: 0 where no plan may well gain WORTH, else the cheapest that may.

    `told`: the cheaper plan first; `head_error`: what there is to gain at most. That a plan may
    well gain is enough to try it, because what tuning spoils is not kept, and what does not help
    ends early. Among those tried, the cheapest within one standard error of the best is taken.
    """
    best = max(told, key=lambda gain: gain.gain)
    if min(best.gain + best.stderr, head_error) < WORTH:
        return 0.0
    return next(gain.share for gain in told if gain.gain >= best.gain - best.stderr)


def _linear(weights: Mapping[str, float], given: Mapping[str, float]) -> float:
    return weights["intercept"] + sum(weights[name] * value for name, value in given.items())
