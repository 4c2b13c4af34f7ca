"""What may be saved after a tuning: each candidate judged on validation alike, the best one taken.

Solve, tune, solve again: tuning makes better features and overfits its own head, so the head is
solved anew on what the tuned network makes of the plain images. Knows nothing of epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from tl_cli.data.manifest import SPLITS
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.fit import BestCheckpoint, accuracy, assign, calibrated
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.head import choice
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.head.linear_head import fit_temperature, scores_of
from tl_cli.engine.metrics.figures import log_losses
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.trained_model import TrainedModel
from tl_cli.plan.evidence import JUDGED_FROM
from tl_cli.results.training import CandidateResult

HEAD, TUNED = "head", "tuned"
AGAIN_BEST, AGAIN_LAST = "solved again, best epoch", "solved again, last epoch"
MARGIN = 0.0  # standard errors by which a candidate must beat the solved head on validation


@dataclass(frozen=True)
class Candidate:
    """Weights of the network, and a head for them where theirs is not to be used."""

    name: str
    weights: Sequence[np.ndarray]  # of the classifier that was tuned, its head's among them
    scores: dict[str, np.ndarray]  # by split, [n, C], before any calibration on validation
    solved: SolvedHead | None = None


def candidates(
    context: RunContext,
    classifier: Classifier,
    data: TrainingData,
    head: SolvedHead,
    start: Sequence[np.ndarray],
    best: BestCheckpoint,
) -> Iterator[Candidate]:
    """Yield what a tuning from `start` came to, the solved head first.

    The weights in `classifier` are changed. Each one's scores are of the validation images, and of
    the test images, which decide nothing.
    """
    held = [split for split in ("val", "test") if context.manifest.of(split)]
    scores = {split: scores_of(head.probabilities(split)) for split in held}
    yield Candidate(HEAD, start, scores, head)
    model = classifier.suffix_model(data.cut, data.row_taps)

    assign(classifier.model.weights, best.weights)
    yield Candidate(TUNED, best.weights, {s: data.outputs(model, s)[0] for s in held})
    yield _solved_again(context, classifier, data, AGAIN_BEST, best.weights)
    if best.last_epoch != best.epoch:
        yield _solved_again(context, classifier, data, AGAIN_LAST, best.last)


def _solved_again(
    context: RunContext,
    classifier: Classifier,
    data: TrainingData,
    name: str,
    weights: Sequence[np.ndarray],
) -> Candidate:
    assign(classifier.model.weights, weights)
    model = classifier.pooled_model(data.cut, data.row_taps, context.taps)
    width = sum(context.widths(context.taps))
    pooled = {
        split: data.outputs(model, split)[0]
        if context.manifest.of(split)
        else np.empty((0, width), "float32")
        for split in SPLITS
    }
    solved = choice.solve_on(context, pooled)
    held = [split for split in ("val", "test") if context.manifest.of(split)]
    return Candidate(name, weights, {s: scores_of(solved.probabilities(s)) for s in held}, solved)


def judged(context: RunContext, candidate: Candidate) -> CandidateResult:
    """Return a candidate's figures on validation, calibrated by halves as every other's."""
    labels = context.labels("val")
    losses = log_losses(calibrated(context, candidate.scores["val"]), labels)
    test = candidate.scores.get("test")
    return CandidateResult(
        name=candidate.name,
        log_loss=float(np.average(losses, weights=context.sample_weights("val"))),
        accuracy=accuracy(candidate.scores["val"], labels),
        test_accuracy=None if test is None else accuracy(test, context.labels("test")),
    )


def choose(
    context: RunContext, alternatives: Sequence[Candidate]
) -> tuple[Candidate, float, float | None]:
    """Return the candidate to save, its gain over the head, and the standard error of that gain.

    The one of the least calibrated log loss on validation, if it beats the solved head, which is
    the first, by MARGIN standard errors of the paired difference. Fewer than ten validation images
    cannot judge: the head.
    """
    labels, weights = context.labels("val"), context.sample_weights("val")
    losses = [log_losses(calibrated(context, c.scores["val"]), labels) for c in alternatives]
    means = [float(np.average(own, weights=weights)) for own in losses]
    order = np.argsort(means, kind="stable")
    number = int(next(i for i in order if i > 0))
    gains = losses[0] - losses[number]
    gain = means[0] - means[number]
    if len(labels) < JUDGED_FROM:
        return alternatives[0], gain, None
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    accepted = gain > MARGIN * error
    return alternatives[number if accepted else 0], gain, error


def put_in_place(context: RunContext, classifier: Classifier, candidate: Candidate) -> TrainedModel:
    """Give the network the candidate's weights, with its calibrated head; return it to be saved."""
    assign(classifier.model.weights, candidate.weights)
    labels, weights = context.labels("val"), context.sample_weights("val")
    scores = candidate.scores["val"]
    held_out = calibrated(context, scores).astype("float32")
    if candidate.solved is None:
        temperature = fit_temperature(scores, labels, weights)
        kernel, bias = classifier.head.get_weights()
        classifier.set_head(kernel / temperature, bias / temperature)
        return TrainedModel(classifier, held_out, softmax(scores / temperature, axis=1))
    solved = candidate.solved
    if candidate.name == HEAD:
        return from_head(context, solved)
    temperature = fit_temperature(scores, labels, weights)
    head = choice.refit(context, solved, temperature)
    return TrainedModel(
        choice.attach(context, solved, head),
        held_out,
        head.probabilities(solved.features["val"]),
        refit=context.config.refit,
    )


def from_head(context: RunContext, solved: SolvedHead) -> TrainedModel:
    """Return the classifier of the frozen network and the solved head, refit."""
    head = choice.refit(context, solved)
    return TrainedModel(
        choice.attach(context, solved, head),
        solved.probabilities("val"),
        head.probabilities(solved.features["val"]),
        refit=context.config.refit,
    )
