"""What a kind of labels needs to be tuned on: its loss, its scores, the figures that judge it.

A row a kind; `tasks.TASKS` says which is whose. Arrays and losses only: knows no images, networks
and runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax
from sklearn.metrics import average_precision_score

from tl_cli.engine.head import platt
from tl_cli.engine.head.linear_head import fit_temperature, scores_of
from tl_cli.engine.head.regression import Scale
from tl_cli.engine.metrics.figures import LEAST_PROBABILITY, log_losses

Array = NDArray[Any]


@dataclass(frozen=True)
class Tuning:
    """How one kind of labels is tuned.

    Scores [n, C] are what the head's layer gives, answers [n, C] what is made of them, and targets
    what `Task.targets` returns: class numbers int64 [n], which are made one-hot for the loss, or
    float32 [n, C], which are compared with the scores as they are. Mixing images mixes either.

    `loss`: label smoothing -> the loss of scores. `activate`: scores -> answers; `scores`: answers
    -> scores. `neutral`: targets and C -> scores that know nothing of an image, float [C] or 0: a
    head is softened towards them. `temperature`: scores, neutral ones, targets and weights [n] or
    None -> what the scores' distance from the neutral ones is to be divided by. `losses`: answers
    and targets -> each image's loss [n], which accepts a tuning. `figure`: scores and targets -> a
    share that a person can read.
    """

    loss: Callable[[float], keras.losses.Loss]
    activate: Callable[[Array], Array]
    scores: Callable[[Array], Array]
    neutral: Callable[[Array, int], Array]
    temperature: Callable[[Array, Array, Array, Array | None], float]
    losses: Callable[[Array, Array], Array]
    figure: Callable[[Array, Array], float]
    loss_name: str  # in files, with `val_` before it in history.csv
    figure_name: str

    def answers(self, scores: Array, neutral: Array, temperature: float) -> Array:
        """Return the answers to scores [n, C] that are divided by a temperature."""
        return self.activate(neutral + (scores - neutral) / temperature)


# == one of several classes ========================================================================


def _cross_entropy(smoothing: float) -> keras.losses.Loss:
    return keras.losses.CategoricalCrossentropy(True, label_smoothing=smoothing)


def _softmax(scores: Array) -> Array:
    return np.asarray(softmax(scores, axis=1))


def _nothing(labels: Array, classes: int) -> Array:
    return np.zeros(classes, "float32")  # classes alike, whatever their share


def _temperature(scores: Array, neutral: Array, labels: Array, weight: Array | None) -> float:
    return fit_temperature(scores, labels, weight)


def accuracy(scores: Array, labels: Array) -> float:
    """Return the share of images whose greatest score is that of their class."""
    return float((scores.argmax(1) == labels).mean())


CLASSES = Tuning(
    loss=_cross_entropy,
    activate=_softmax,
    scores=scores_of,
    neutral=_nothing,
    temperature=_temperature,
    losses=log_losses,
    figure=accuracy,
    loss_name="log_loss",
    figure_name="accuracy",
)

# == several labels an image =======================================================================


def _binary_cross_entropy(smoothing: float) -> keras.losses.Loss:
    return keras.losses.BinaryCrossentropy(True, label_smoothing=smoothing)


def _logits(answers: Array) -> Array:
    p = answers.astype("float64")
    return np.asarray(logit(np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)))


def _frequencies(indicators: Array, classes: int) -> Array:
    """Return each label's log odds, one image of either kind more counted in.

    A rare label's softened score goes there: towards one half it would be said of every image.
    """
    n = len(indicators)
    return np.asarray(logit((indicators.sum(0) + 1) / (n + 2)), "float32")


def average_precision(scores: Array, indicators: Array) -> float:
    """Return the mean average precision of scores [n, C], over labels that some images have."""
    found = indicators.sum(0)
    there = (found > 0) & (found < len(indicators))
    if not there.any():
        return 0.0
    return float(average_precision_score(indicators[:, there], scores[:, there]))


LABELS = Tuning(
    loss=_binary_cross_entropy,
    activate=expit,
    scores=_logits,
    neutral=_frequencies,
    temperature=platt.temperature,
    losses=log_losses,
    figure=average_precision,
    loss_name="log_loss",
    figure_name="average_precision",
)

# == a number ======================================================================================

FAR = 1.0  # deviations of the labels; an error beyond it costs no more than its size: Huber 1964


class _Huber(keras.losses.Loss):
    """Huber's loss of scores, from numbers in their own unit."""

    def __init__(self, scale: Scale) -> None:
        super().__init__(name="huber_loss")
        self.scale = scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        true = (keras.ops.cast(y_true, y_pred.dtype) - self.scale.mean) / self.scale.deviation
        return keras.losses.huber(true, y_pred, delta=FAR)


def values(scale: Scale) -> Tuning:
    """Return how numbers are tuned whose scores are standardised by a scale."""

    def losses(answers: Array, true: Array) -> Array:
        off = np.abs(scale.scores(answers.astype("float64")) - scale.scores(true))[:, 0]
        return np.asarray(np.where(off <= FAR, off**2 / 2, FAR * (off - FAR / 2)))

    def r2(scores: Array, true: Array) -> float:
        squares = np.mean((scale.values(scores.astype("float64")) - true) ** 2)
        return float(1 - squares / (true.var() or 1.0))

    return Tuning(
        loss=lambda smoothing: _Huber(scale),
        activate=scale.values,
        scores=scale.scores,
        neutral=lambda true, classes: np.zeros(classes, "float32"),
        temperature=lambda scores, neutral, true, weight: 1.0,
        losses=losses,
        figure=r2,
        loss_name="huber_loss",
        figure_name="r2",
    )
