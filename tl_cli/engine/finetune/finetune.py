"""From the solved head, train the part of the network that the plan frees; take what came out best.

Linear probing, then fine-tuning (LP-FT, Kumar et al. 2022, arXiv:2202.10054), then linear probing
again. The frozen part has run already: training is fed from its kept output. Knows nothing of run
directories.
"""

from __future__ import annotations

from collections.abc import Sequence

from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.candidates import (
    HEAD,
    candidates,
    choose,
    head_candidate,
    judged,
    put_in_place,
)
from tl_cli.engine.finetune.checkpoints import NONE, Checkpoints
from tl_cli.engine.finetune.fit import fit
from tl_cli.engine.finetune.settings import FinetuneSettings
from tl_cli.engine.finetune.state import assign, copies
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.finetune.validation import neutral, validation_row
from tl_cli.engine.head import choice
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.trained_model import Finetuned
from tl_cli.results.progress import OnProgress, begun
from tl_cli.results.training import CandidateResult, FinetuneResult

SOFTENING = 0.25  # of the solved head's scores when tuning begins; see docs/policy.md


def finetune(
    context: RunContext,
    settings: FinetuneSettings,
    head: SolvedHead,
    on_progress: OnProgress,
    checkpoints: Checkpoints = NONE,
) -> Finetuned[FinetuneResult]:
    """Tune the suffix and a softened head, solve the head again, and take what promises more.

    The solved head fits its training images almost perfectly, so there would be no gradient that
    says anything: its scores are made a quarter, which changes no answer. In the end the backbone
    has the weights of what is returned.
    """
    data = TrainingData(context, settings, on_progress)
    data.source("val")  # now, rather than in the middle of the first epoch
    classifier = softened(context, head)
    start = copies(classifier.model.weights)
    fitted = fit(context, settings, classifier, data, on_progress, checkpoints)
    tried = [head_candidate(context, head, start)]
    chosen, gain, error = tried[0], 0.0, None
    if not fitted.diverged:
        assign(classifier.model.weights, fitted.best.last)
        on_progress(begun("again"))
        tried = candidates(context, classifier, fitted.model, data, head, start)
        chosen, gain, error = choose(context, settings.plan, tried[0], tried[-1])
    results = tuple(judged(context, candidate) for candidate in tried)
    trained = put_in_place(context, classifier, chosen)
    result = FinetuneResult(
        epochs=len(fitted.best.history),
        best_epoch=fitted.best.epoch,
        kept=chosen.name,
        gain=gain,
        gain_stderr=error,
        candidates=results,
        reason=_reason(results, chosen.name, gain, error, diverged=fitted.diverged),
    )
    before = validation_row(context, 0, 0.0, float("nan"), [tried[0].scores["val"]])
    return Finetuned(trained, result, [before, *fitted.best.history], fitted.gradients)


def softened(context: RunContext, head: SolvedHead) -> Classifier:
    """Return the classifier of the solved head with its confidence taken away.

    In place of a kernel head the line that it was chosen over: a kernel stays where the features
    were, and tuning moves them away from there.
    """
    head = head.line or head
    classifier = choice.attach(context, head)
    soft = choice.softened(head.head, SOFTENING, neutral(context))
    classifier.set_head(soft.weights, soft.bias)
    return classifier


def _reason(
    tried: Sequence[CandidateResult],
    kept: str,
    gain: float,
    error: float | None,
    *,
    diverged: bool,
) -> str:
    if diverged:
        return "the loss was no longer a number at any rate tried, so the solved head is kept"
    if error is None:
        return "too few validation images to tell a gain from chance, so the solved head is kept"
    head, *_, again = tried
    said = (
        f"{head.loss_words} on validation {head.loss:.3f} with the solved head, {again.loss:.3f} "
        f"with the head solved again after tuning (gain {gain:+.3f} ± {error:.3f})"
    )
    if kept == HEAD:
        return f"tuning did not help, so the solved head is kept: {said}"
    if gain <= 0:
        return (
            "the tuned network is kept: on other sets it gained, and these few validation images "
            f"do not speak against that: {said}"
        )
    return f"the tuned network is kept: {said}"
