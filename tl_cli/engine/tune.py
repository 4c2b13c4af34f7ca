"""The second phase: from the solved head, train the part of the network that the plan frees.

Linear probing, then fine-tuning (LP-FT, Kumar et al. 2022, arXiv:2202.10054). The frozen part has
run already: training is fed from its kept output. Knows nothing of run directories.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np

from tl_cli.engine import pipeline
from tl_cli.engine.classifier import Classifier
from tl_cli.engine.evaluate import log_losses
from tl_cli.engine.feeding import Feed
from tl_cli.engine.heads import SolvedHead
from tl_cli.engine.job import Job
from tl_cli.engine.optimizer import Average, optimizer
from tl_cli.results import Note, OnProgress, Progress, TuneFacts

LEAST_PATIENCE = 5  # epochs without a better validation before the training ends
WAITING = 0.2  # share of the time in which the network may wait for data
WORTH_SAYING = 10.0  # seconds of waiting
STAGES = 3  # of gradual unfreezing


@dataclass(frozen=True)
class Tuned:
    """What the tuning came to. `probabilities(split)` are the tuned network's, where it is kept."""

    facts: TuneFacts
    history: list[dict[str, float]]
    probabilities: Callable[[str], np.ndarray]

    @property
    def kept(self) -> bool:
        return self.facts.kept == "tuned"


def tune(job: Job, built: Classifier, head: SolvedHead, on_progress: OnProgress) -> Tuned:
    """Train the suffix and the head; put the best epoch's weights into `built`, or the old ones.

    The tuned network must beat the solved head on validation by more than one standard error of
    the paired difference in log loss; otherwise the weights go back to what they were.
    """
    feed, labels = Feed(job, on_progress), job.labels("val")
    before = head.probabilities("val")
    start = _copies(built.model.weights)
    frozen = _frozen_weights(built, job.plan.frozen_blocks)
    digest = _digest(frozen)
    history, best, model = _train(job, built, feed, before, on_progress)
    _assign(built.model.weights, best.weights)
    facts = _verdict(best, log_losses(before, labels), head, labels, len(history) - 1)
    if job.manifest.of("test"):
        said = feed.predict(model, "test").argmax(1)
        facts = replace(facts, tuned_test_accuracy=float((said == job.labels("test")).mean()))
    if facts.kept == "head":
        _assign(built.model.weights, start)
    if _digest(frozen) != digest:
        raise AssertionError("a frozen weight changed during training")
    return Tuned(facts, history, lambda split: feed.predict(model, split))


def _train(
    job: Job, built: Classifier, feed: Feed, before: np.ndarray, on_progress: OnProgress
) -> tuple[list[dict[str, float]], _Best, keras.Model]:
    """Train all epochs, or until validation stops getting better; the best is remembered."""
    steps, waiting = feed.steps(), pipeline.Waiting()
    best = _Best([_row(0, 0.0, float("nan"), before, job.labels("val"))])
    waited = trained = 0.0
    for frozen, epochs in stages(job):
        model = built.begin(
            frozen,
            optimizer(job, steps * len(epochs)),
            feed.cut,
            feed.row_taps,
            label_smoothing=job.config.label_smoothing,
        )
        average = Average(job.config.ema) if job.config.ema else None
        follow = _Follow(job, built, feed, best, average, steps, on_progress)
        model.fit(
            waiting.watch(feed.batches(epochs[0])),
            steps_per_epoch=steps,
            initial_epoch=epochs[0] - 1,
            epochs=epochs[-1],
            verbose=0,
            shuffle=False,
            callbacks=[waiting, *([average] if average else []), follow],
        )
        waited, trained = waited + waiting.waited, trained + waiting.trained
        if model.stop_training:
            break
    if waited > max(WORTH_SAYING, WAITING * trained):
        _complain(waited / trained, feed, on_progress)
    return best.history, best, model


def stages(job: Job) -> list[tuple[int, range]]:
    """Return (blocks frozen, epochs) stage by stage: one, or several that free ever more.

    Gradual unfreezing as in ULMFiT (Howard & Ruder 2018, arXiv:1801.06146), in thirds.
    """
    plan = job.plan
    if job.config.unfreeze == "at_once" or plan.epochs < STAGES:
        return [(plan.frozen_blocks, range(1, plan.epochs + 1))]
    trained = plan.blocks - plan.frozen_blocks
    ends = [round(plan.epochs * i / STAGES) for i in range(STAGES + 1)]
    return [
        (plan.blocks - round(trained * i / STAGES), range(ends[i - 1] + 1, ends[i] + 1))
        for i in range(1, STAGES + 1)
    ]


class _Follow(keras.callbacks.Callback):
    """Reports each step, and looks at the validation images at the end of each epoch."""

    def __init__(
        self,
        job: Job,
        built: Classifier,
        feed: Feed,
        best: _Best,
        average: Average | None,
        steps: int,
        report: OnProgress,
    ) -> None:
        super().__init__()
        self.job, self.built, self.feed, self.best = job, built, feed, best
        self.average, self.steps, self.report = average, steps, report
        self.labels, self.size = job.labels("val"), job.plan.size
        self.patience = max(LEAST_PATIENCE, job.plan.epochs // 2)
        self.stage, self.started = "", 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.stage = f"epoch {epoch + 1}/{self.job.plan.epochs}"
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        # the last report of an epoch is the one that knows its validation
        if batch + 1 < self.steps:
            done = round(self.size * (batch + 1) / self.steps)
            facts = {"loss": float((logs or {}).get("loss", float("nan")))}
            self.report(Progress(self.stage, done, self.size, facts=facts))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        seconds, loss = time.perf_counter() - self.started, float((logs or {})["loss"])
        with _averaged(self.model, self.average):
            probabilities = self.feed.predict(self.model, "val")
            row = _row(epoch + 1, seconds, loss, probabilities, self.labels)
            self.best.see(row, self.built.model.weights, probabilities)
        facts = {"loss": loss, "val accuracy": row["val_accuracy"]}
        self.report(Progress(self.stage, self.size, self.size, facts=facts))
        if epoch + 1 - self.best.epoch >= self.patience:
            self.model.stop_training = True


@contextlib.contextmanager
def _averaged(model: keras.Model, average: Average | None) -> Iterator[None]:
    """Put the average in place of the weights for as long as it is looked at."""
    if average is None:
        yield
        return
    now = _copies(model.trainable_variables)
    _assign(model.trainable_variables, average.values)
    yield
    _assign(model.trainable_variables, now)


def _complain(share: float, feed: Feed, on_progress: OnProgress) -> None:
    """Say it once where the network waited for data."""
    streamed = getattr(feed.source("train"), "place", "") == "streamed"
    advice = (
        "give more --cache-memory" if streamed
        else "the disk of the cache is slow (TL_CACHE)" if feed.cut
        else "use a lighter --augment"
    )  # fmt: skip
    on_progress(Note(f"{share:.0%} of the training time went by waiting for data: {advice}.", True))


def _row(
    epoch: int, seconds: float, loss: float, probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """One line of history.csv; epoch 0 is the solved head."""
    return {
        "epoch": epoch,
        "seconds": round(seconds, 3),
        "loss": loss,
        "val_log_loss": float(log_losses(probabilities, labels).mean()),
        "val_accuracy": float((probabilities.argmax(1) == labels).mean()),
    }


class _Best:
    """The history of the epochs, and the one with the lowest validation log loss so far."""

    def __init__(self, history: list[dict[str, float]]) -> None:
        self.history = history
        self.loss, self.epoch = float("inf"), 0
        self.weights: list[np.ndarray] = []
        self.probabilities = np.empty(0)

    def see(
        self, row: dict[str, float], weights: list[keras.Variable], probabilities: np.ndarray
    ) -> None:
        self.history.append(row)
        if row["val_log_loss"] < self.loss:
            self.loss, self.epoch = row["val_log_loss"], int(row["epoch"])
            self.probabilities, self.weights = probabilities, _copies(weights)


def _verdict(
    best: _Best, before: np.ndarray, head: SolvedHead, labels: np.ndarray, epochs: int
) -> TuneFacts:
    gain = before - log_losses(best.probabilities, labels)
    error = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else float("inf")
    better = float(gain.mean()) > error
    said = (
        f"log loss on validation {before.mean():.3f} with the solved head, "
        f"{best.loss:.3f} after tuning (gain {gain.mean():+.3f} ± {error:.3f})"
    )
    return TuneFacts(
        epochs=epochs,
        best_epoch=best.epoch,
        head_log_loss=float(before.mean()),
        tuned_log_loss=best.loss,
        head_accuracy=float((head.probabilities("val").argmax(1) == labels).mean()),
        tuned_accuracy=float((best.probabilities.argmax(1) == labels).mean()),
        kept="tuned" if better else "head",
        reason=f"the tuned network is kept: {said}"
        if better
        else f"it did not help beyond one standard error, so the solved head is kept: {said}",
    )


def _copies(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _frozen_weights(built: Classifier, frozen: int) -> list[keras.Variable]:
    """Return all that no training may change: frozen blocks, and every BatchNorm."""
    trained = {id(w) for layer in built.trainable(frozen) for w in layer.weights}
    return [w for w in built.model.weights if id(w) not in trained]


def _digest(variables: list[keras.Variable]) -> str:
    seen = hashlib.blake2b()
    for variable in variables:
        seen.update(keras.ops.convert_to_numpy(variable.value).tobytes())
    return seen.hexdigest()
