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
    labels, plan = job.labels("val"), job.plan
    history = [_row(0, 0.0, float("nan"), before, labels)]
    best, watch = _Best(), _Watch(job, built, feed, on_progress)
    patience = max(LEAST_PATIENCE, plan.epochs // 2)
    for frozen, epochs in stages(job):
        watch.begin(frozen, len(epochs))
        for epoch in epochs:
            seconds, loss = watch.epoch(epoch)
            with watch.averaged():
                probabilities = feed.predict(watch.model, "val")
                best.see(epoch, built.model.weights, probabilities, labels)
            history.append(_row(epoch, seconds, loss, probabilities, labels))
            on_progress(_after(history[-1], epoch, plan.epochs, plan.size))
            if epoch - best.epoch >= patience:
                return history, best, watch.model
    watch.complain()
    return history, best, watch.model


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


class _Watch:
    """One training in progress: the compiled part, its average, and how long it waited for data."""

    def __init__(self, job: Job, built: Classifier, feed: Feed, on_progress: OnProgress) -> None:
        self.job, self.built, self.feed, self.on_progress = job, built, feed, on_progress
        self.steps = feed.steps()
        self.average = Average(job.config.ema) if job.config.ema else None
        self.waited = self.trained = 0.0
        self.model: keras.Model

    def begin(self, frozen: int, epochs: int) -> None:
        """Free what this stage frees, with an optimizer of its own."""
        self.model = self.built.begin(
            frozen,
            optimizer(self.job, self.steps * epochs),
            self.feed.cut,
            self.feed.row_taps,
            label_smoothing=self.job.config.label_smoothing,
        )
        if self.average:
            self.average = Average(self.job.config.ema)

    def epoch(self, number: int) -> tuple[float, float]:
        """Train for one epoch; return its seconds and its mean loss in nats."""
        batches, waiting = self.feed.epoch(number), pipeline.Waiting()
        plan = self.job.plan
        stage = f"epoch {number}/{plan.epochs}"
        follow = _Follow(stage, plan.size, self.steps, self.on_progress)
        start = time.perf_counter()
        fitted = self.model.fit(
            waiting.watch(batches),
            steps_per_epoch=self.steps,
            epochs=1,
            verbose=0,
            shuffle=False,
            callbacks=[follow, waiting, *([self.average] if self.average else [])],
        )
        self.waited += waiting.waited
        self.trained += waiting.trained
        return time.perf_counter() - start, float(fitted.history["loss"][0])

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the average in place of the weights for as long as it is looked at."""
        if not self.average:
            yield
            return
        now = _copies(self.model.trainable_variables)
        _assign(self.model.trainable_variables, self.average.values)
        yield
        _assign(self.model.trainable_variables, now)

    def complain(self) -> None:
        """Say it once where the network waited for data."""
        share = self.waited / self.trained if self.trained else 0.0
        if share > WAITING:
            source = self.feed.source("train")
            streamed = getattr(source, "place", "") == "streamed"
            advice = "give more --cache-memory" if streamed else "use a lighter --augment"
            self.on_progress(
                Note(f"{share:.0%} of the training time went by waiting for data: {advice}.", True)
            )


class _Follow(keras.callbacks.Callback):
    """Reports each step; the last report of an epoch is left to who knows its validation."""

    def __init__(self, stage: str, size: int, steps: int, on_progress: OnProgress) -> None:
        super().__init__()
        self.stage, self.size, self.steps, self.report = stage, size, steps, on_progress

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if batch + 1 < self.steps:
            done = round(self.size * (batch + 1) / self.steps)
            facts = {"loss": float((logs or {}).get("loss", float("nan")))}
            self.report(Progress(self.stage, done, self.size, facts=facts))


def _after(row: Mapping[str, float], epoch: int, epochs: int, size: int) -> Progress:
    facts = {"loss": row["loss"], "val accuracy": row["val_accuracy"]}
    return Progress(f"epoch {epoch}/{epochs}", size, size, facts=facts)


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
    """The epoch with the lowest validation log loss so far."""

    def __init__(self) -> None:
        self.loss, self.epoch = float("inf"), 0
        self.weights: list[np.ndarray] = []
        self.probabilities = np.empty(0)

    def see(
        self,
        epoch: int,
        weights: list[keras.Variable],
        probabilities: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        loss = float(log_losses(probabilities, labels).mean())
        if loss < self.loss:
            self.loss, self.epoch, self.probabilities = loss, epoch, probabilities
            self.weights = _copies(weights)


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
