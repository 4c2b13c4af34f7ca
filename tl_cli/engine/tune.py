"""The second phase: from the solved head, train the part of the network that the plan frees.

Linear probing, then fine-tuning (LP-FT, Kumar et al. 2022, arXiv:2202.10054). The frozen part has
run already: training is fed from its kept output. Knows nothing of run directories.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np
from scipy.special import softmax

from tl_cli.engine import features, pipeline
from tl_cli.engine.classifier import Classifier
from tl_cli.engine.evaluate import log_losses
from tl_cli.engine.features import PLAIN, View
from tl_cli.engine.heads import SolvedHead
from tl_cli.engine.job import Job
from tl_cli.results import OnProgress, Progress, TuneFacts

WARM_UP = 0.1  # of all steps
CLIP_NORM = 1.0
PREDICT_BATCH = 64

Source = pipeline.ImageStore | features.Rows


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
    plan, data = job.plan, _Data(job, on_progress)
    steps = pipeline.steps(plan.size, plan.batch_size)
    model = built.begin(
        plan.frozen_blocks, optimizer(job, steps * plan.epochs), data.cut, data.row_taps
    )
    frozen = _digest(built.model.non_trainable_weights)
    before = log_losses(head.probabilities("val"), job.labels("val"))
    start = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    best = _Best()
    history = [_row(0, 0.0, float("nan"), head.probabilities("val"), job.labels("val"))]
    patience = max(5, plan.epochs // 2)
    for epoch in range(1, plan.epochs + 1):
        seconds, loss = _epoch(job, model, data, epoch, steps, on_progress)
        probabilities = data.predict(model, "val")
        history.append(_row(epoch, seconds, loss, probabilities, job.labels("val")))
        best.see(epoch, model, probabilities, job.labels("val"))
        on_progress(_after(history[-1], epoch, plan.epochs, plan.size))
        if epoch - best.epoch >= patience:
            break
    facts = _verdict(best, before, head, job.labels("val"), epoch)
    _assign(model, best.weights)
    if job.manifest.of("test"):
        said = data.predict(model, "test").argmax(1)
        facts = replace(facts, tuned_test_accuracy=float((said == job.labels("test")).mean()))
    if facts.kept == "head":
        _assign(model, start)
    if _digest(built.model.non_trainable_weights) != frozen:
        raise AssertionError("a frozen weight changed during training")
    return Tuned(facts, history, lambda split: data.predict(model, split))


class _Data:
    """The images as the tuned part sees them: rows kept at the cut, or pixels."""

    def __init__(self, job: Job, on_progress: OnProgress) -> None:
        self.job, self.on_progress = job, on_progress
        self.cut = job.plan.frozen_blocks if job.caches_cut else 0
        self.row_taps = job.row().taps if self.cut else ()
        self._kept: dict[tuple[str, int], Source] = {}

    def source(self, split: str, view: int = 0) -> Source:
        """Return a split's rows, opened once; views beside the plain one only where cached."""
        key = (split, view)
        if key not in self._kept:
            self._kept[key] = self._open(split, view)
        return self._kept[key]

    def _open(self, split: str, view: int) -> Source:
        job, records = self.job, self.job.manifest.of(split)
        if not self.cut:
            return pipeline.store(records, job.backbone.image_size)
        looked = View(view, job.plan.augment, False, job.config.seed) if view else PLAIN
        stage = f"view {view + 1}/{job.views}"
        [rows] = features.extract(
            job.backbone, records, [job.row(looked)], stage=stage, on_progress=self.on_progress
        )
        return rows

    def epoch(self, number: int):
        """Return an epoch's batches: augmented pixels, or the view whose turn it is."""
        job, plan = self.job, self.job.plan
        return pipeline.batches(
            self.source("train", (number - 1) % job.views),
            job.labels("train"),
            batch_size=plan.batch_size,
            training=True,
            classes=plan.classes,
            one_hot=True,
            augment="none" if self.cut else plan.augment,
            seed=job.config.seed,
            epoch=number,
        )

    def predict(self, model: keras.Model, split: str) -> np.ndarray:
        """Return the probabilities, float32 [n, C], of the plain images of a split, in order."""
        source, parts = self.source(split), []
        for start in range(0, len(source), PREDICT_BATCH):
            rows = np.arange(start, start + PREDICT_BATCH)
            real = min(PREDICT_BATCH, len(source) - start)
            rows[real:] = start  # padded, so that the network is traced for one shape
            scores = model.predict_on_batch(source[rows].astype("float32"))
            parts.append(softmax(np.asarray(scores[:real], "float32"), axis=1))
        return np.concatenate(parts)


def optimizer(job: Job, steps: int) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with a linear warm-up and a cosine to zero."""
    warm = max(1, round(WARM_UP * steps))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm), warmup_target=job.plan.learning_rate, warmup_steps=warm
    )
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=job.plan.weight_decay, global_clipnorm=CLIP_NORM
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _epoch(
    job: Job, model: keras.Model, data: _Data, epoch: int, steps: int, on_progress: OnProgress
) -> tuple[float, float]:
    """Train for one epoch; return its seconds and its mean loss in nats."""
    batches, start = data.epoch(epoch), time.perf_counter()
    follow = _Follow(f"epoch {epoch}/{job.plan.epochs}", job.plan.size, steps, on_progress)
    fitted = model.fit(
        batches, steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False, callbacks=[follow]
    )
    return time.perf_counter() - start, float(fitted.history["loss"][0])


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
        self, epoch: int, model: keras.Model, probabilities: np.ndarray, labels: np.ndarray
    ) -> None:
        loss = float(log_losses(probabilities, labels).mean())
        if loss < self.loss:
            self.loss, self.epoch, self.probabilities = loss, epoch, probabilities
            self.weights = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]


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


def _assign(model: keras.Model, values: list[np.ndarray]) -> None:
    for variable, value in zip(model.trainable_variables, values, strict=True):
        variable.assign(value)


def _digest(variables: list[keras.Variable]) -> str:
    seen = hashlib.blake2b()
    for variable in variables:
        seen.update(keras.ops.convert_to_numpy(variable.value).tobytes())
    return seen.hexdigest()
