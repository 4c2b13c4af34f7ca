"""`tl train --dry-run`: all that a run would do, and how long it would take, from one batch."""

from __future__ import annotations

import time

from tl_cli.config import RunConfig
from tl_cli.data.manifest import SPLITS, Manifest
from tl_cli.engine import rank, recommend_freeze
from tl_cli.engine.context import RunContext, prepare
from tl_cli.engine.features import BATCH
from tl_cli.engine.finetune import settings, time_budget
from tl_cli.engine.finetune.learning_rate_test import learning_rate_test
from tl_cli.engine.images import dataset
from tl_cli.engine.networks import classifier
from tl_cli.engine.networks.loading import Backbone
from tl_cli.plan import FreezePlan, alternatives
from tl_cli.results.dry_run import DryRun
from tl_cli.results.progress import OnProgress, silent


def dry_run(
    config: RunConfig,
    manifest: Manifest,
    on_progress: OnProgress = silent,
    *,
    test_rates: bool = False,
    began: float | None = None,
) -> DryRun:
    """Return the plan, the steps, the peak learning rates and an estimate of the time.

    The plan comes from the images as it would in a run. One batch of them is decoded, passed and,
    where the plan tunes, trained on, for the time; no weight is kept. `test_rates`: with the loss
    by learning rate, where the plan tunes. `began`: when whoever asks began, by
    `time.perf_counter`: what went by since, such as the framework's start, comes again in a run.
    """
    started = time.perf_counter()
    seconds: dict[str, float] = {} if began is None else {"start": started - began}
    config = rank.resolved(config.for_task(manifest.task), manifest, on_progress)
    context = prepare(config, manifest)
    building = time.perf_counter() - started
    seconds["build"] = building
    plan = recommend_freeze.advise(context, on_progress)
    passing, tracing = _features(context)
    seconds["features"] = passing + tracing
    if plan.trains_backbone:
        plan, tuning = _tuning(context, plan, building + seconds["features"], on_progress)
        seconds |= tuning
    seconds |= time_budget.ending_seconds(context, building + tracing)
    steps = dataset.steps(plan.size, plan.batch_size) if plan.trains_backbone else 0
    others = alternatives(plan, context.backbone.blocks)
    return DryRun(
        plan=plan.to_json(),
        image_size=context.backbone.image_size,
        precision=context.precision,
        counts={split: manifest.counts(split) for split in SPLITS},
        steps_per_epoch=steps,
        steps=steps * plan.epochs,
        learning_rates=rates(context.backbone, plan),
        learning_rate_test=learning_rate_test(context, plan, on_progress)
        if test_rates and plan.trains_backbone
        else None,
        alternatives={name: other.to_json() for name, other in others.items()},
        seconds={k: round(v, 1) for k, v in (seconds | {"total": sum(seconds.values())}).items()},
        notes=manifest.notes,
    )


def rates(backbone: Backbone, plan: FreezePlan) -> dict[str, float]:
    """Return the peak rates: of the head, and of the first and the last block that are trained."""
    if not plan.trains_backbone:
        return {"head": 0.0}
    peaks, blocks = {"head": plan.learning_rate}, backbone.blocks
    if plan.layer_decay == 1:
        return peaks | {"backbone": plan.learning_rate}
    for i in (plan.frozen_blocks, len(blocks) - 1):
        peaks[blocks[i].name] = plan.learning_rate * plan.layer_decay ** (len(blocks) - i)
    return peaks


def _features(context: RunContext) -> tuple[float, float]:
    """Return the seconds of the one pass, from one batch of the user's own images.

    And what its first batch took beyond the others, to trace the network.
    """
    if context.config.from_scratch:
        return 0.0, 0.0
    started = time.perf_counter()
    one = time_budget.image_seconds(context, context.backbone.model)
    tracing = time.perf_counter() - started - time_budget.TIMED * BATCH * one
    return len(context.manifest.records) * one, max(0.0, tracing)


def _tuning(
    context: RunContext, plan: FreezePlan, before: float, on_progress: OnProgress
) -> tuple[FreezePlan, dict[str, float]]:
    """Return the plan, with fewer epochs where no more fit, and the seconds of its tuning."""
    built = classifier.build(
        context.backbone,
        context.classes,
        context.taps,
        context.config.pooled,
        batchnorm_trains=context.config.from_scratch,
    )
    chosen = settings.decide(context, plan)
    if context.config.max_minutes:
        left = context.config.max_minutes * 60 - before
        chosen = time_budget.fit_into_time(context, chosen, built, left, on_progress)
    steps = chosen.plan.epochs * dataset.steps(plan.size, plan.batch_size)
    seconds = {"tune": steps * time_budget.step_seconds(context, chosen, built)}
    if chosen.views > 1:
        seconds["views"] = (chosen.views - 1) * time_budget.view_seconds(context, chosen)
    return chosen.plan, seconds
