"""The second phase: from the solved head, train the part of the network that the plan frees.

Linear probing, then fine-tuning (LP-FT, Kumar et al. 2022, arXiv:2202.10054). The frozen part has
run already: training is fed from its kept output. Knows nothing of run directories.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np
from scipy.stats import t as student

from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune import fit
from tl_cli.engine.finetune.fit import BestCheckpoint, Row, assign, copies
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.metrics.figures import log_losses
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.results.progress import OnProgress
from tl_cli.results.training import FinetuneResult

STAGES = 3  # of gradual unfreezing
CONFIDENCE = 0.975  # that tuning gained on validation, to be kept; see docs/policy.md


@dataclass(frozen=True)
class Tuned:
    """What the tuning came to. `probabilities(split)` are the tuned network's, where it is kept."""

    facts: FinetuneResult
    history: list[Row]
    gradients: list[Row]
    probabilities: Callable[[str], np.ndarray]

    @property
    def kept(self) -> bool:
        return self.facts.kept == "tuned"


def tune(
    context: RunContext, built: Classifier, head: SolvedHead, on_progress: OnProgress
) -> Tuned:
    """Train the suffix and the head; put the best epoch's weights into `built`, or the old ones.

    The tuned network must beat the solved head on validation, in log loss, paired over images, with
    a confidence of 97.5 %: about two standard errors, more where the images are few, since the same
    ones chose its best epoch. Otherwise the weights go back to what they were.
    """
    feed, labels = TrainingData(context, on_progress), context.labels("val")
    feed.source("val")  # now, rather than in the middle of the first epoch
    before = head.probabilities("val")
    start = copies(built.model.weights)
    frozen = _frozen_weights(built, context.plan.frozen_blocks)
    digest = _digest(frozen)
    best = BestCheckpoint([fit.row(0, 0.0, float("nan"), before, labels)])  # the solved head
    model, gradients = fit.train(context, built, feed, best, stages(context), on_progress)
    facts = _verdict(best, log_losses(before, labels), head, labels)
    facts = replace(facts, temperature=fit.restore_and_calibrate(built, best, labels))
    if context.manifest.of("test"):
        said = feed.predict(model, "test").argmax(1)
        facts = replace(facts, tuned_test_accuracy=float((said == context.labels("test")).mean()))
    if facts.kept == "head":
        assign(built.model.weights, start)
    if _digest(frozen) != digest:
        raise AssertionError("a frozen weight changed during training")
    return Tuned(facts, best.history, gradients, lambda split: feed.predict(model, split))


def stages(context: RunContext) -> list[tuple[int, range]]:
    """Return (blocks frozen, epochs) stage by stage: one, or several that free ever more.

    Gradual unfreezing as in ULMFiT (Howard & Ruder 2018, arXiv:1801.06146), in thirds.
    """
    plan = context.plan
    if context.config.unfreeze == "at_once" or plan.epochs < STAGES:
        return [(plan.frozen_blocks, range(1, plan.epochs + 1))]
    trained = plan.blocks - plan.frozen_blocks
    ends = [round(plan.epochs * i / STAGES) for i in range(STAGES + 1)]
    return [
        (plan.blocks - round(trained * i / STAGES), range(ends[i - 1] + 1, ends[i] + 1))
        for i in range(1, STAGES + 1)
    ]


def _verdict(
    best: BestCheckpoint, before: np.ndarray, head: SolvedHead, labels: np.ndarray
) -> FinetuneResult:
    gain = before - log_losses(best.probabilities, labels)
    error = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else float("inf")
    better = surely_gained(float(gain.mean()), error, len(gain))
    said = (
        f"log loss on validation {before.mean():.3f} with the solved head, "
        f"{best.loss:.3f} after tuning (gain {gain.mean():+.3f} ± {error:.3f})"
    )
    return FinetuneResult(
        epochs=len(best.history) - 1,
        best_epoch=best.epoch,
        head_log_loss=float(before.mean()),
        tuned_log_loss=best.loss,
        gain_stderr=error if len(gain) > 1 else None,
        head_accuracy=float((head.probabilities("val").argmax(1) == labels).mean()),
        tuned_accuracy=float((best.probabilities.argmax(1) == labels).mean()),
        kept="tuned" if better else "head",
        reason=f"the tuned network is kept: {said}"
        if better
        else f"it did not surely help, so the solved head is kept: {said}",
    )


def surely_gained(gain: float, stderr: float, images: int) -> bool:
    """Return whether a mean gain over so many images is above chance (Student's t, 97.5 %)."""
    return images > 1 and gain > float(student.ppf(CONFIDENCE, images - 1)) * stderr


def _frozen_weights(built: Classifier, frozen: int) -> list[keras.Variable]:
    """Return all that no training may change: frozen blocks, and every BatchNorm."""
    trained = {id(w) for layer in built.freeze_up_to(frozen) for w in layer.weights}
    return [w for w in built.model.weights if id(w) not in trained]


def _digest(variables: list[keras.Variable]) -> str:
    seen = hashlib.blake2b()
    for variable in variables:
        seen.update(keras.ops.convert_to_numpy(variable.value).tobytes())
    return seen.hexdigest()
