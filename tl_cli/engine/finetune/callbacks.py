"""What follows a training: its epochs are validated, remembered and kept to be gone on with.

Knows nothing of what is trained, and from what weights.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

import keras
import numpy as np

from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.checkpoints import Checkpoints
from tl_cli.engine.finetune.devices import Replicas
from tl_cli.engine.finetune.gradient_flow import GradientFlow
from tl_cli.engine.finetune.optimizer import Average
from tl_cli.engine.finetune.settings import FinetuneSettings
from tl_cli.engine.finetune.state import BestCheckpoint, FitState, Stage, assign, copies
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.finetune.validation import loss_column, validation_row
from tl_cli.results.progress import Note, OnProgress, Progress


class ValidationCallback(keras.callbacks.Callback):
    """Reports each step, and measures the validation images at the end of each epoch."""

    def __init__(
        self,
        context: RunContext,
        settings: FinetuneSettings,
        replicas: Replicas,
        model: keras.Model,
        data: TrainingData,
        best: BestCheckpoint,
        average: Average | None,
        report: OnProgress,
    ) -> None:
        super().__init__()
        self.context, self.plan, self.replicas = context, settings.plan, replicas
        self.classifier = replicas.trained
        self.seen = replicas.seen(model, data.cut, data.row_taps)
        self.patience = settings.patience
        self.data, self.best, self.average, self.report = data, best, average, report
        self.auxiliary = replicas.trained_auxiliary.weights
        self.steps = data.steps() * settings.parts
        self.stage, self.started = "", 0.0
        self.diverged = 0  # the epoch in which the loss was no longer a number

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.stage = f"epoch {epoch + 1}/{self.plan.epochs}"
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        # the last report of an epoch is the one that knows its validation
        if batch + 1 < self.steps:
            done = round(self.plan.size * (batch + 1) / self.steps)
            facts = {"loss": float((logs or {}).get("loss", float("nan")))}
            self.report(Progress(self.stage, done, self.plan.size, facts=facts))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        seconds, loss = time.perf_counter() - self.started, float((logs or {})["loss"])
        with averaged(self.model, self.average):
            self.replicas.give_back()
            scores = self.data.outputs(self.seen, "val")
            row = validation_row(self.context, epoch + 1, seconds, loss, scores)
            judged = row[loss_column(self.context)]
            numbers = self.best.see(row, judged, self.classifier.model.weights, self.auxiliary)
        if not numbers:
            self.diverged = epoch + 1
            self.model.stop_training = True
            return
        name = self.context.task.tuning.figure_name
        facts = {"loss": loss, f"val {name.replace('_', ' ')}": row[f"val_{name}"]}
        size = self.plan.size
        self.report(Progress(self.stage, size, size, facts=facts, epoch=row))
        if self.is_out_of_patience(epoch + 1):
            self.model.stop_training = True

    def is_out_of_patience(self, epoch: int) -> bool:
        """Tell whether that many epochs have gone by without a better one."""
        return bool(self.patience and epoch - self.best.epoch >= self.patience)


class StateCallback(keras.callbacks.Callback):
    """Keeps the state of the training after each epoch that came to numbers."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        follow: ValidationCallback,
        stage: Stage,
        halvings: int,
        flow: GradientFlow | None,
    ) -> None:
        super().__init__()
        self.checkpoints, self.follow, self.flow = checkpoints, follow, flow
        self.stage, self.halvings = stage, halvings

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if self.follow.diverged or not self.checkpoints.run:
            return
        try:
            self.checkpoints.save(self._state())
        except OSError as error:  # a full disk: the training goes on, for what is there stays
            self.follow.report(
                Note(f"Epoch {epoch + 1} could not be kept to be resumed from: {error}.", True)
            )

    def _state(self) -> FitState:
        follow, average = self.follow, self.follow.average
        return FitState(
            stage=self.stage,
            rate=follow.plan.learning_rate,
            halvings=self.halvings,
            best=follow.best,
            weights=copies(follow.classifier.model.weights),
            auxiliary=copies(follow.auxiliary),
            optimizer=copies(self.model.optimizer.variables),
            average=[np.asarray(value) for value in average.values] if average else (),
            steps=average.step if average else 0,
            gradients=self.flow.rows if self.flow else [],
        )


@contextlib.contextmanager
def averaged(model: keras.Model, average: Average | None) -> Iterator[None]:
    """Put the average in place of the weights for as long as it is looked at."""
    if average is None:
        yield
        return
    now = copies(model.trainable_variables)
    assign(model.trainable_variables, average.values)
    yield
    assign(model.trainable_variables, now)
