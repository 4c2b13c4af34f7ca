"""Epoch after epoch: the training is fed and followed, the best and the last epoch are remembered.

Knows nothing of what is trained, and from what weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune import devices
from tl_cli.engine.finetune.callbacks import StateCallback, ValidationCallback
from tl_cli.engine.finetune.checkpoints import NONE, Checkpoints
from tl_cli.engine.finetune.compile import compile_suffix
from tl_cli.engine.finetune.devices import Replicas, Shared
from tl_cli.engine.finetune.gradient_flow import GradientFlow
from tl_cli.engine.finetune.optimizer import Average, optimizer
from tl_cli.engine.finetune.settings import FinetuneSettings
from tl_cli.engine.finetune.state import (
    BestCheckpoint,
    EpochSeeds,
    FitState,
    Stage,
    assign,
    copies,
)
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.images import dataset
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.results.progress import Note, OnProgress

HALVINGS = 2  # of the rate, where the loss is no longer a number, before the training is given up
WAITING = 0.2  # share of the time in which the network may wait for data
WORTH_SAYING = 10.0  # seconds of waiting
STAGES = 3  # of gradual unfreezing


@dataclass(frozen=True)
class Fitted:
    """What the epochs left: the last weights stay in the classifier."""

    model: keras.Model  # that was trained, fed as the data feed it
    best: BestCheckpoint
    gradients: list[dict[str, Any]]  # none unless they were asked for
    diverged: bool  # whether it was given up


def fit(
    context: RunContext,
    settings: FinetuneSettings,
    classifier: Classifier,
    data: TrainingData,
    on_progress: OnProgress,
    checkpoints: Checkpoints = NONE,
) -> Fitted:
    """Train stage by stage, or until the patience with validation ends.

    Where the loss is no longer a number, the last good weights are put back and the rate is halved,
    twice at most. A training that was cut off goes on after the last epoch in `checkpoints`.
    Several devices train copies of the classifier, which has their weights after each epoch.
    """
    best, steps, waiting = BestCheckpoint(), data.steps(), dataset.Waiting()
    flow = (
        GradientFlow(classifier, steps * settings.parts) if context.config.gradient_flow else None
    )
    replicas = Replicas(classifier, settings.auxiliary, devices.chosen(context.config, settings))
    trains, auxiliary = replicas.trained, replicas.trained_auxiliary.weights
    start, halvings = (copies(trains.model.weights), copies(auxiliary)), 0
    waited = trained = 0.0
    pending = stages(settings, context.config.unfreeze)
    state = checkpoints.begin(*start)
    if state:
        best, halvings, settings = state.best, state.halvings, _at_rate(settings, state.rate)
        pending = _left(state, pending)
        _put_back(state, trains, auxiliary, flow)
        said = f"Going on after epoch {best.last_epoch} of {settings.plan.epochs}."
        on_progress(Note(said, needed=True))
    while pending:
        frozen, epochs = stage = pending.pop(0)
        model = _compiled(context, settings, replicas, data, frozen, steps * len(epochs))
        average = Average(context.config.ema, settings.parts) if context.config.ema else None
        done = _done(state, stage, model, average)
        follow = ValidationCallback(
            context, settings, replicas, model, data, best, average, on_progress
        )
        keep = StateCallback(checkpoints, follow, stage, halvings, flow)
        if done < epochs[-1] and not follow.is_out_of_patience(done):
            outputs = len(model.outputs)
            with dataset.clear_errors():
                if flow:
                    flow.batch = next(iter(data.batches(epochs[0], outputs)))
                model.fit(
                    waiting.watch(data.batches(done + 1, outputs, len(replicas.devices))),
                    steps_per_epoch=steps * settings.parts,
                    initial_epoch=done,
                    epochs=epochs[-1],
                    verbose=0,
                    shuffle=False,
                    # what the flow takes is neither waiting nor training
                    callbacks=_present(
                        EpochSeeds(context.config.seed), flow, waiting, average, follow, keep
                    ),
                )
            waited, trained = waited + waiting.waited, trained + waiting.trained
        if follow.diverged:
            weights, others = (best.last, best.auxiliary) if best.last else start
            assign(trains.model.weights, weights)
            assign(auxiliary, others)
            if halvings == HALVINGS:
                break
            halvings += 1
            settings = _at_half_the_rate(settings, on_progress)
            pending.insert(0, (frozen, range(follow.diverged, epochs[-1] + 1)))
        elif follow.is_out_of_patience(best.last_epoch):
            break
    if waited > max(WORTH_SAYING, WAITING * trained):
        _complain(waited / trained, data, on_progress)
    replicas.give_back()
    return Fitted(follow.seen, best, flow.rows if flow else [], not best.weights)


def stages(settings: FinetuneSettings, unfreeze: str) -> list[Stage]:
    """Return (blocks frozen, epochs) stage by stage: one, or several that free ever more.

    Gradual unfreezing as in ULMFiT (Howard & Ruder 2018, arXiv:1801.06146), in thirds.
    """
    plan = settings.plan
    if unfreeze == "at_once" or plan.epochs < STAGES:
        return [(plan.frozen_blocks, range(1, plan.epochs + 1))]
    freed = plan.blocks - plan.frozen_blocks
    ends = [round(plan.epochs * i / STAGES) for i in range(STAGES + 1)]
    return [
        (plan.blocks - round(freed * i / STAGES), range(ends[i - 1] + 1, ends[i] + 1))
        for i in range(1, STAGES + 1)
    ]


def _compiled(
    context: RunContext,
    settings: FinetuneSettings,
    replicas: Replicas,
    data: TrainingData,
    frozen: int,
    steps: int,
) -> keras.Model:
    with replicas.scope():
        return compile_suffix(
            replicas.trained,
            frozen,
            optimizer(replicas.trained.backbone, settings.plan, steps, parts=settings.parts),
            data.cut,
            data.row_taps,
            loss=context.task.tuning.loss(settings.plan.label_smoothing),
            auxiliary=replicas.trained_auxiliary,
            kind=Shared if replicas.several else keras.Model,
        )


def _at_half_the_rate(settings: FinetuneSettings, on_progress: OnProgress) -> FinetuneSettings:
    rate = settings.plan.learning_rate / 2
    said = f"The loss is no longer a number: on from there at half the rate, {rate:g}."
    on_progress(Note(said, needed=True))
    return _at_rate(settings, rate)


def _at_rate(settings: FinetuneSettings, rate: float) -> FinetuneSettings:
    return replace(settings, plan=replace(settings.plan, learning_rate=rate))


def _left(state: FitState, pending: Sequence[Stage]) -> list[Stage]:
    """Return the stages after this state: its own, unless it is at its end and others follow."""
    last = state.stage[1][-1]
    later = [stage for stage in pending if stage[1][0] > last]
    return later if later and state.best.last_epoch == last else [state.stage, *later]


def _put_back(
    state: FitState,
    classifier: Classifier,
    auxiliary: Sequence[keras.Variable],
    flow: GradientFlow | None,
) -> None:
    assign(classifier.model.weights, state.weights)
    assign(auxiliary, state.auxiliary)
    if flow:
        flow.rows = state.gradients


def _done(state: FitState | None, stage: Stage, model: keras.Model, average: Average | None) -> int:
    """Return the last epoch before those to be trained; the optimizer goes on where it was."""
    if not (state and state.stage == stage):
        return stage[1][0] - 1
    assign(model.optimizer.variables, state.optimizer)
    if average:
        average.values, average.step = list(state.average), state.steps
    return state.best.last_epoch


def _present(*callbacks: keras.callbacks.Callback | None) -> list[keras.callbacks.Callback]:
    return [callback for callback in callbacks if callback]


def _complain(share: float, data: TrainingData, on_progress: OnProgress) -> None:
    """Say it once where the network waited for data."""
    streamed = getattr(data.source("train"), "place", "") == "streamed"
    advice = (
        "give more --cache-memory" if streamed
        else "the disk of the cache is slow (TL_CACHE)" if data.cut
        else "use a lighter --augment"
    )  # fmt: skip
    on_progress(Note(f"{share:.0%} of the training time went by waiting for data: {advice}.", True))
