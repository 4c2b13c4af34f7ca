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


def validation_row(
    context: RunContext, epoch: int, seconds: float, loss: float, scores: Sequence[np.ndarray]
) -> Row:
    """Return one line of history.csv. `scores`: of the head, and of each auxiliary classifier."""
    labels, tuning = context.labels("val"), context.task.tuning
    main, *others = scores
    name = f"val_{tuning.figure_name}"
    auxiliary = {f"{name}_aux{i}": tuning.figure(s, labels) for i, s in enumerate(others, 1)}
    return {
        "epoch": epoch,
        "seconds": round(seconds, 3),
        "loss": loss,
        loss_column(context): validation_loss(context, main),
        name: tuning.figure(main, labels),
        **auxiliary,
    }


def loss_column(context: RunContext) -> str:
    """Return what history.csv calls the loss by which epochs are judged."""
    return f"val_{context.task.tuning.loss_name}"


def validation_loss(context: RunContext, scores: np.ndarray) -> float:
    """Return the calibrated loss of scores [n, C] for the validation images: of classes, in nats.

    Infinite where a score is not a number. Weighted as the fit is.
    """
    if not np.isfinite(scores).all():
        return math.inf
    losses = context.task.tuning.losses(calibrated(context, scores), context.labels("val"))
    return float(np.average(losses, weights=context.sample_weights("val")))


def calibrated(context: RunContext, scores: np.ndarray) -> np.ndarray:
    """Return answers [n, C] of the validation images, calibrated by halves."""
    tuning, zero = context.task.tuning, neutral(context)
    return calibrated_by_halves(
        scores,
        context.labels("val"),
        weights=context.sample_weights("val"),
        groups=context.groups("val"),
        seed=context.config.seed,
        fit=lambda scores, labels, weight: tuning.temperature(scores, zero, labels, weight),
        answers=lambda scores, temperature: tuning.answers(scores, zero, temperature),
    )


def temperature(context: RunContext, scores: np.ndarray) -> float:
    """Return what the validation images ask scores [n, C] to be divided by."""
    labels, weights = context.labels("val"), context.sample_weights("val")
    return context.task.tuning.temperature(scores, neutral(context), labels, weights)


def neutral(context: RunContext) -> np.ndarray:
    """Return the scores float [C] of a head that knows the training labels and no image."""
    return context.task.tuning.neutral(context.labels("train"), len(context.classes))
