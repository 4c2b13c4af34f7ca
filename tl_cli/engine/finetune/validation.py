"""What the validation images say of a training: a line an epoch, each figure calibrated by halves.

Knows nothing of how the scores came about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.state import Row
from tl_cli.engine.head.calibration import calibrated_by_halves
from tl_cli.engine.metrics.figures import log_losses


def validation_row(
    context: RunContext, epoch: int, seconds: float, loss: float, scores: Sequence[np.ndarray]
) -> Row:
    """Return one line of history.csv. `scores`: of the head, and of each auxiliary classifier."""
    labels = context.labels("val")
    main, *others = scores
    auxiliary = {f"val_accuracy_aux{i}": accuracy(s, labels) for i, s in enumerate(others, 1)}
    return {
        "epoch": epoch,
        "seconds": round(seconds, 3),
        "loss": loss,
        "val_log_loss": validation_loss(context, main),
        "val_accuracy": accuracy(main, labels),
        **auxiliary,
    }


def validation_loss(context: RunContext, scores: np.ndarray) -> float:
    """Return the calibrated log loss of scores [n, C] for the validation images, in nats.

    Infinite where a score is not a number. Weighted as the fit is.
    """
    if not np.isfinite(scores).all():
        return math.inf
    losses = log_losses(calibrated(context, scores), context.labels("val"))
    return float(np.average(losses, weights=context.sample_weights("val")))


def calibrated(context: RunContext, scores: np.ndarray) -> np.ndarray:
    """Return probabilities [n, C] of the validation images, calibrated by halves."""
    return calibrated_by_halves(
        scores,
        context.labels("val"),
        weights=context.sample_weights("val"),
        groups=context.groups("val"),
        seed=context.config.seed,
    )


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose greatest score is that of their class."""
    return float((scores.argmax(1) == labels).mean())
