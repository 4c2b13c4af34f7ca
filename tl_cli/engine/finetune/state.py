"""Where a training stands between two epochs: with it, the next one is what it would have been.

What is drawn for an epoch depends on the seed and the epoch alone, so there is no random state to
remember. Knows nothing of files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

Row = dict[str, float]
Stage = tuple[int, range]  # blocks frozen, epochs
Arrays = Mapping[str, Sequence[np.ndarray]]


class BestCheckpoint:
    """The epochs so far, the one with the lowest calibrated loss on validation, the last one.

    An epoch whose loss is not a number is in the history and is neither.
    """

    def __init__(self) -> None:
        self.history: list[Row] = []
        self.loss, self.epoch = math.inf, 0
        self.weights: list[np.ndarray] = []
        self.last: list[np.ndarray] = []
        self.last_epoch = 0
        self.auxiliary: list[np.ndarray] = []  # of the last epoch too; they are never saved

    def see(
        self,
        row: Row,
        judged: float,
        weights: Sequence[keras.Variable],
        auxiliary: Sequence[keras.Variable] = (),
    ) -> bool:
        """Add an epoch; return whether its losses are numbers, and keep its weights if so.

        `judged`: its calibrated loss on validation, which is in the row too.
        """
        self.history.append(row)
        if not (math.isfinite(row["loss"]) and math.isfinite(judged)):
            return False
        self.last, self.last_epoch = copies(weights), int(row["epoch"])
        self.auxiliary = copies(auxiliary)
        if judged < self.loss:
            self.loss, self.epoch, self.weights = judged, self.last_epoch, self.last
        return True


@dataclass(frozen=True)
class FitState:
    """All that the next epoch depends on, beside the settings and the weights at the start."""

    stage: Stage  # for whose epochs the optimizer was made
    rate: float  # the peak of the stage's
    halvings: int
    best: BestCheckpoint  # its last epoch is the last that was done
    weights: Sequence[np.ndarray]  # of the classifier; others than the last epoch's, if averaged
    auxiliary: Sequence[np.ndarray]
    optimizer: Sequence[np.ndarray]
    average: Sequence[np.ndarray] = ()  # of the weights, where there is one
    steps: int = 0  # that the average is over
    gradients: list[dict[str, Any]] = field(default_factory=list)

    def parts(self) -> tuple[dict[str, Any], Arrays]:
        """Return it as JSON types and arrays, for `of`."""
        (frozen, epochs), best = self.stage, self.best
        facts = {
            "frozen": frozen,
            "first": epochs[0],
            "last": epochs[-1],
            "rate": self.rate,
            "halvings": self.halvings,
            "best_loss": best.loss,
            "best_epoch": best.epoch,
            "last_epoch": best.last_epoch,
            "history": best.history,
            "steps": self.steps,
            "gradients": self.gradients,
        }
        arrays = {
            "weights": self.weights,
            "auxiliary": self.auxiliary,
            "optimizer": self.optimizer,
            "average": self.average,
            "best_weights": best.weights,
            "last_weights": best.last,
            "last_auxiliary": best.auxiliary,
        }
        return facts, arrays

    @classmethod
    def of(cls, facts: Mapping[str, Any], arrays: Arrays) -> FitState:
        """Return what `parts` took apart. Raises KeyError, TypeError or ValueError otherwise."""
        best = BestCheckpoint()
        best.history = [dict(row) for row in facts["history"]]
        best.loss, best.epoch = float(facts["best_loss"]), int(facts["best_epoch"])
        best.last_epoch = int(facts["last_epoch"])
        best.weights = list(arrays["best_weights"])
        best.last, best.auxiliary = list(arrays["last_weights"]), list(arrays["last_auxiliary"])
        return cls(
            stage=(int(facts["frozen"]), range(int(facts["first"]), int(facts["last"]) + 1)),
            rate=float(facts["rate"]),
            halvings=int(facts["halvings"]),
            best=best,
            weights=arrays["weights"],
            auxiliary=arrays["auxiliary"],
            optimizer=arrays["optimizer"],
            average=arrays["average"],
            steps=int(facts["steps"]),
            gradients=[dict(row) for row in facts["gradients"]],
        )


class EpochSeeds(keras.callbacks.Callback):
    """Gives every dropout, at each epoch, a seed that the run's seed, epoch and its place decide.

    An epoch is then the same whatever was trained before it in this process.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        for place, state in enumerate(states):
            drawn = np.random.SeedSequence((self.seed, epoch + 1, place)).generate_state(2)
            state.assign(drawn)


def copies(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Return the values of variables, to be put back by `assign`."""
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Give variables their values."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
