"""`tl train --dry-run`: all that a run would do, and how long it would take, from one batch."""

from __future__ import annotations

import time

import numpy as np

from tl_cli.config import RunConfig
from tl_cli.data.manifest import Manifest
from tl_cli.engine import features, recommend_freeze
from tl_cli.engine.context import SPLITS, RunContext
from tl_cli.engine.finetune import time_budget
from tl_cli.engine.images import dataset
from tl_cli.engine.networks import classifier
from tl_cli.plan import alternatives
from tl_cli.results.dry_run import DryRun
from tl_cli.results.progress import OnProgress, silent

BATCH = features.BATCH


def dry_run(config: RunConfig, manifest: Manifest, on_progress: OnProgress = silent) -> DryRun:
    """Return the plan, the steps, the peak learning rates and an estimate of the time.

    The plan comes from the images as it would in a run. One batch of them is decoded, passed and,
    where the plan tunes, trained on, for the time; no weight is kept.
    """
    started = time.perf_counter()
    context = recommend_freeze.prepare(config, manifest)
    seconds = {"build": time.perf_counter() - started}
    context = recommend_freeze.advise(context, on_progress)
    seconds["features"] = _features(context)
    if context.plan.trains_backbone:
        context, tuning = _tuning(context, sum(seconds.values()), on_progress)
        seconds |= tuning
    plan = context.plan
    steps = dataset.steps(plan.size, plan.batch_size) if plan.trains_backbone else 0
    return DryRun(
        plan=plan.to_json(),
        image_size=context.backbone.image_size,
        precision=context.precision,
        counts={split: manifest.counts(split) for split in SPLITS},
        steps_per_epoch=steps,
        steps=steps * plan.epochs,
        learning_rates=rates(context),
        alternatives={
            name: other.to_json()
            for name, other in alternatives(plan, context.backbone.blocks).items()
        },
        seconds={k: round(v, 1) for k, v in (seconds | {"total": sum(seconds.values())}).items()},
        notes=manifest.notes,
    )


def rates(context: RunContext) -> dict[str, float]:
    """Return the peak rates: of the head, and of the first and the last block that are trained."""
    plan, blocks = context.plan, context.backbone.blocks
    if not plan.trains_backbone:
        return {"head": 0.0}
    found = {"head": plan.head_learning_rate}
    if plan.layer_decay == 1:
        return found | {"backbone": plan.learning_rate}
    for i in (plan.frozen_blocks, len(blocks) - 1):
        found[blocks[i].name] = plan.learning_rate * plan.layer_decay ** (len(blocks) - i)
    return found


def _features(context: RunContext) -> float:
    """Return the seconds of the one pass, from one batch of the user's own images."""
    if context.config.from_scratch:
        return 0.0
    records = context.manifest.records[:BATCH]
    start = time.perf_counter()
    images = features.images(records, context.backbone.image_size)
    decode = (time.perf_counter() - start) / len(records)
    images = np.resize(images, (BATCH, *images.shape[1:]))
    forward = (
        time_budget.least_seconds(lambda: context.backbone.model.predict_on_batch(images)) / BATCH
    )
    return len(context.manifest.records) * (decode + forward)


def _tuning(
    context: RunContext, before: float, on_progress: OnProgress
) -> tuple[RunContext, dict[str, float]]:
    """Return the job, with fewer epochs where no more fit, and the seconds of its tuning."""
    built = classifier.build(
        context.backbone,
        context.manifest.classes,
        context.taps,
        context.config.pooling,
        context.auxiliary,
    )
    if context.config.max_minutes:
        context = time_budget.fit_into_time(
            context, built, context.config.max_minutes * 60 - before, on_progress
        )
    steps = context.plan.epochs * dataset.steps(context.plan.size, context.plan.batch_size)
    tuning = {"tune": steps * time_budget.step_seconds(context, built)}
    if context.views > 1:
        tuning["views"] = (context.views - 1) * time_budget.view_seconds(context)
    return context, tuning
