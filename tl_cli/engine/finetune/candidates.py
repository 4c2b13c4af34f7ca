"""What may be saved after a tuning: the solved head from before, or the one that is solved again.

Solve, tune, solve again: tuning makes better features and overfits its own head, so the head is
solved anew on what the tuned network makes of the plain images. Knows nothing of epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from tl_cli.data.manifest import REGRESSION, SPLITS
from tl_cli.engine import conformal, unknown
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.state import assign, copies
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.finetune.validation import calibrated, neutral, temperature, validation_loss
from tl_cli.engine.head import choice
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.head.row_blocks import stacked
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.trained_model import TrainedModel
from tl_cli.engine.unknown import UnknownScore
from tl_cli.plan import FreezePlan
from tl_cli.plan.evidence import JUDGED_FROM
from tl_cli.plan.prior import expected_gain
from tl_cli.results.training import CandidateResult

HEAD, TUNED, AGAIN = "head", "tuned", "solved again"


@dataclass(frozen=True)
class Candidate:
    """Weights of the network, and a head for them where theirs is not to be used."""

    name: str
    weights: Sequence[np.ndarray]  # of the classifier that was tuned, its head's among them
    scores: dict[str, np.ndarray]  # by split, [n, C], before any calibration on validation
    solved: SolvedHead | None = None


def head_candidate(context: RunContext, head: SolvedHead, start: Sequence[np.ndarray]) -> Candidate:
    """Return the solved head as it was before the tuning, with the weights from then."""
    return Candidate(HEAD, start, _scores(context, head), head)


def _scores(context: RunContext, head: SolvedHead) -> dict[str, np.ndarray]:
    return {s: context.task.tuning.scores(head.probabilities(s)) for s in _held(context)}


def _held(context: RunContext) -> list[str]:
    """Return the splits that are not trained on, of those that have images."""
    return [split for split in ("val", "test") if context.manifest.of(split)]


def candidates(
    context: RunContext,
    classifier: Classifier,
    model: keras.Model,
    data: TrainingData,
    head: SolvedHead,
    start: Sequence[np.ndarray],
) -> list[Candidate]:
    """Return the solved head, from before, the network as it was tuned, and its head solved again.

    `model`: what was trained; `start`: the weights before the tuning. Those of the last epoch are
    in `classifier`: not those of the best one, which is only where an overfitted head happened to
    do well. Each one's scores are of the validation images, and of the test images, which decide
    nothing.
    """
    weights = copies(classifier.model.weights)
    held = _held(context)
    tuned = {split: data.outputs(model, split)[0] for split in held}
    again = _solved_again(context, classifier, data)
    return [
        head_candidate(context, head, start),
        Candidate(TUNED, weights, tuned),
        Candidate(AGAIN, weights, _scores(context, again), again),
    ]


def _solved_again(context: RunContext, classifier: Classifier, data: TrainingData) -> SolvedHead:
    """Solve the head on what the tuned network makes of the plain images, a line on all depths.

    The features have been fitted to the training images, whose folds can no longer choose: they
    took the last depth alone where all of them were better (docs/policy.md), and a kernel gained
    little (docs/heads.md).
    """
    model = classifier.pooled_model(data.cut, data.row_taps, context.taps)
    width = sum(context.widths(context.taps))
    pooled = {
        split: data.outputs(model, split)[0]
        if context.manifest.of(split)
        else np.empty((0, width), "float32")
        for split in SPLITS
    }
    return choice.solve_on(context, pooled, fitted=True)


def judged(context: RunContext, candidate: Candidate) -> CandidateResult:
    """Return a candidate's figures on validation, calibrated by halves as every other's."""
    tuning, test = context.task.tuning, candidate.scores.get("test")
    return CandidateResult(
        name=candidate.name,
        loss=validation_loss(context, candidate.scores["val"]),
        figure=tuning.figure(candidate.scores["val"], context.labels("val")),
        test_figure=None if test is None else tuning.figure(test, context.labels("test")),
        loss_name=tuning.loss_name,
        figure_name=tuning.figure_name,
    )


def choose(
    context: RunContext, plan: FreezePlan, head: Candidate, again: Candidate
) -> tuple[Candidate, float, float | None]:
    """Return the candidate to save, the gain of solving again, and that gain's standard error.

    The gain is in calibrated loss on validation, paired over images. It is expected to be what
    it was on other sets of this size and similarity, and that is corrected by what validation says,
    each weighed by how sure it is (a normal prior and a normal measurement). Fewer than ten
    validation images: the head.
    """
    labels, weights = context.labels("val"), context.sample_weights("val")
    before, after = (
        context.task.tuning.losses(calibrated(context, each.scores["val"]), labels)
        for each in (head, again)
    )
    gain = float(np.average(before - after, weights=weights))
    if len(labels) < JUDGED_FROM:
        return head, gain, None
    error = float((before - after).std(ddof=1) / np.sqrt(len(labels)))
    loss = float(np.average(before, weights=weights))
    usual = context.task.tuning.usual(plan.size, plan.similarity)
    accepted = expected_gain(gain, error, loss, usual) > 0
    return again if accepted else head, gain, error


def put_in_place(context: RunContext, classifier: Classifier, candidate: Candidate) -> TrainedModel:
    """Give the network the candidate's weights, with its calibrated head; return it to be saved."""
    assign(classifier.model.weights, candidate.weights)
    solved, scores = candidate.solved, candidate.scores["val"]
    if solved and candidate.name == HEAD:
        return from_head(context, solved)
    held_out = calibrated(context, scores).astype("float32")
    divisor, zero = temperature(context, scores), neutral(context)
    if solved:
        thresholds = _thresholds(context, held_out)
        return _with_head(context, solved, held_out, divisor, thresholds)
    kernel, bias = classifier.head.get_weights()
    classifier.set_head(kernel / divisor, zero + (bias - zero) / divisor)
    classifier = replace(classifier, thresholds=_thresholds(context, held_out))
    return TrainedModel(classifier, held_out, context.task.tuning.answers(scores, zero, divisor))


def _thresholds(context: RunContext, held_out: np.ndarray) -> tuple[float, ...]:
    """Return from which answers on each label is said, by the validation images.

    Not by folds of the training images, to which the features of a tuned network have been fitted.
    """
    return context.task.thresholds(held_out, context.labels("val"))


def from_head(context: RunContext, solved: SolvedHead) -> TrainedModel:
    """Return the classifier of the frozen network and the solved head, refit."""
    return _with_head(context, solved, solved.probabilities("val"))


def _with_head(
    context: RunContext,
    solved: SolvedHead,
    held_out: np.ndarray,
    divisor: float = 1.0,
    thresholds: Sequence[float] | None = None,
) -> TrainedModel:
    head = choice.refit(context, solved, divisor, neutral(context))
    classifier = choice.attach(context, solved, head, thresholds)
    if context.manifest.task == REGRESSION:
        far = conformal.interval(held_out, context.labels("val"))
        classifier = replace(classifier, interval=far)
    return TrainedModel(
        classifier,
        held_out,
        head.probabilities(solved.features["val"]),
        refit=context.config.refit,
        unknown=_unknown(context, solved),
    )


def _unknown(context: RunContext, solved: SolvedHead) -> UnknownScore | None:
    """Return what tells images unlike all that the saved head is fitted to."""
    splits = ("train", "val") if context.config.refit else ("train",)
    return unknown.fit(
        stacked([solved.features[split] for split in splits]),
        context.task.kinds(context.labels(*splits)),
        solved.widths,
        groups=context.groups(*splits),
        seed=context.config.seed,
    )
