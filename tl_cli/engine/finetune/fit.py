"""Epoch after epoch: the training is fed and followed, and the best epoch is remembered.

Knows nothing of what is trained, and from what weights.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np

from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.gradient_flow import GradientFlow
from tl_cli.engine.finetune.optimizer import Average, optimizer
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.head.linear_head import fit_temperature, scores_of
from tl_cli.engine.images import dataset
from tl_cli.engine.metrics.figures import log_losses
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.results.progress import Note, OnProgress, Progress

LEAST_PATIENCE = 5  # epochs without a better validation before the training ends
WAITING = 0.2  # share of the time in which the network may wait for data
WORTH_SAYING = 10.0  # seconds of waiting

Row = dict[str, float]


class BestCheckpoint:
    """The history of the epochs, and the one with the lowest validation log loss so far."""

    def __init__(self, history: Sequence[Row] = ()) -> None:
        self.history = list(history)
        self.loss, self.epoch = float("inf"), 0
        self.weights: list[np.ndarray] = []
        self.probabilities = np.empty(0)

    def see(self, row: Row, weights: list[keras.Variable], probabilities: np.ndarray) -> None:
        """Add an epoch; keep its weights where it is the best one."""
        self.history.append(row)
        if row["val_log_loss"] < self.loss or not self.weights:
            self.loss, self.epoch = row["val_log_loss"], int(row["epoch"])
            self.probabilities, self.weights = probabilities, copies(weights)


def train(
    context: RunContext,
    built: Classifier,
    feed: TrainingData,
    best: BestCheckpoint,
    stages: Sequence[tuple[int, range]],
    on_progress: OnProgress,
    *,
    norms: bool = False,
) -> tuple[keras.Model, list[Row]]:
    """Train through the stages (blocks frozen, epochs), or until validation gets no better.

    `norms`: whether BatchNorm trains too. The last weights stay in `built`; `best` has the best.
    Returns the model that was trained, for `feed.predict`, and the gradients that were seen: none
    unless they were asked for.
    """
    steps, waiting = feed.steps(), dataset.Waiting()
    flow = GradientFlow(built, steps) if context.config.gradient_flow else None
    waited = trained = 0.0
    for frozen, epochs in stages:
        model = built.compile(
            frozen,
            optimizer(context, steps * len(epochs)),
            feed.cut,
            feed.row_taps,
            label_smoothing=context.plan.label_smoothing,
            norms=norms,
        )
        average = Average(context.config.ema) if context.config.ema else None
        follow = ValidationCallback(context, built, feed, best, average, steps, on_progress)
        batches = feed.batches(epochs[0], len(model.outputs))
        if flow:
            flow.batch = next(iter(batches))
        model.fit(
            waiting.watch(batches),
            steps_per_epoch=steps,
            initial_epoch=epochs[0] - 1,
            epochs=epochs[-1],
            verbose=0,
            shuffle=False,
            # what the flow takes is neither waiting nor training
            callbacks=[each for each in (flow, waiting, average, follow) if each],
        )
        waited, trained = waited + waiting.waited, trained + waiting.trained
        if model.stop_training:
            break
    if waited > max(WORTH_SAYING, WAITING * trained):
        _complain(waited / trained, feed, on_progress)
    return model, flow.rows if flow else []


class ValidationCallback(keras.callbacks.Callback):
    """Reports each step, and looks at the validation images at the end of each epoch."""

    def __init__(
        self,
        context: RunContext,
        built: Classifier,
        feed: TrainingData,
        best: BestCheckpoint,
        average: Average | None,
        steps: int,
        report: OnProgress,
    ) -> None:
        super().__init__()
        self.context, self.built, self.feed, self.best = context, built, feed, best
        self.average, self.steps, self.report = average, steps, report
        self.labels, self.size = context.labels("val"), context.plan.size
        self.patience = max(LEAST_PATIENCE, context.plan.epochs // 2)
        self.stage, self.started = "", 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.stage = f"epoch {epoch + 1}/{self.context.plan.epochs}"
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        # the last report of an epoch is the one that knows its validation
        if batch + 1 < self.steps:
            done = round(self.size * (batch + 1) / self.steps)
            facts = {"loss": float((logs or {}).get("loss", float("nan")))}
            self.report(Progress(self.stage, done, self.size, facts=facts))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        seconds, loss = time.perf_counter() - self.started, float((logs or {})["loss"])
        with averaged(self.model, self.average):
            main, *others = self.feed.predict_all(self.model, "val")
            measured = row(epoch + 1, seconds, loss, main, self.labels, others)
            self.best.see(measured, self.built.model.weights, main)
        facts = {"loss": loss, "val accuracy": measured["val_accuracy"]}
        self.report(Progress(self.stage, self.size, self.size, facts=facts))
        if epoch + 1 - self.best.epoch >= self.patience:
            self.model.stop_training = True


def restore_and_calibrate(built: Classifier, best: BestCheckpoint, labels: np.ndarray) -> float:
    """Put the best epoch's weights in place, temperature folded in, and return the temperature.

    It divides the scores so that their log loss on validation is least (Guo et al. 2017,
    arXiv:1706.04599): one number, which changes no answer.
    """
    assign(built.model.weights, best.weights)
    temperature = fit_temperature(scores_of(best.probabilities), labels)
    weights, bias = built.head.get_weights()
    built.set_head(weights / temperature, bias / temperature)
    return temperature


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


def _complain(share: float, feed: TrainingData, on_progress: OnProgress) -> None:
    """Say it once where the network waited for data."""
    streamed = getattr(feed.source("train"), "place", "") == "streamed"
    advice = (
        "give more --cache-memory" if streamed
        else "the disk of the cache is slow (TL_CACHE)" if feed.cut
        else "use a lighter --augment"
    )  # fmt: skip
    on_progress(Note(f"{share:.0%} of the training time went by waiting for data: {advice}.", True))


def row(
    epoch: int,
    seconds: float,
    loss: float,
    probabilities: np.ndarray,
    labels: np.ndarray,
    others: Sequence[np.ndarray] = (),
) -> Row:
    """Return one line of history.csv. `others`: the auxiliary classifiers' probabilities."""
    auxiliary = {f"val_accuracy_aux{i}": _accuracy(p, labels) for i, p in enumerate(others, 1)}
    return {
        "epoch": epoch,
        "seconds": round(seconds, 3),
        "loss": loss,
        "val_log_loss": float(log_losses(probabilities, labels).mean()),
        "val_accuracy": _accuracy(probabilities, labels),
        **auxiliary,
    }


def _accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float((probabilities.argmax(1) == labels).mean())


def copies(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Return the values of variables, to be put back by `assign`."""
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Give variables their values."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
