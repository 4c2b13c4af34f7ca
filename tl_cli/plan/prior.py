"""What tuning gained on other sets, and how that is weighed against a measurement. Pure."""

from __future__ import annotations

import math

SPREAD = 0.2  # of a set's gain about what its size and similarity let expect, as a share
MOST_IMAGES = 5_000  # beyond which nothing was measured


def usual_gain(images: int, similarity: float) -> float:
    """Return what tuning is expected to take off the head's log loss, as a share of it.

    `images`: trained on; `similarity`: 0..1. A least-squares fit to the tuned runs of
    docs/policy.md, which `scripts/fit_policy.py` prints: more images and less similar ones gain
    more; a few photographs gain nothing.
    """
    size = math.log10(max(1, min(images, MOST_IMAGES)))
    return -0.09 + 0.16 * size - 0.23 * similarity


def expected_gain(gain: float, stderr: float, head_loss: float, usual: float) -> float:
    """Return the gain over a head of this log loss to be expected after a measurement, in nats.

    A normal prior, `usual` (a share of the head's log loss) within SPREAD, and a normal measurement
    `gain` within `stderr` (nats), each weighed by how sure it is.
    """
    prior, spread = usual * head_loss, SPREAD * head_loss
    if stderr <= 0 or spread <= 0:
        return gain
    trust = spread**2 / (spread**2 + stderr**2)
    return trust * gain + (1 - trust) * prior
