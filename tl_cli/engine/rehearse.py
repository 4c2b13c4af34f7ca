"""`tl train --dry-run`: all that a run would do, and how long it would take, from one batch."""

from __future__ import annotations

import time

import numpy as np

from tl_cli import freeze
from tl_cli.config import RunConfig
from tl_cli.engine import budget, classifier, features, pipeline, planning
from tl_cli.engine.job import SPLITS, Job
from tl_cli.manifest import Manifest
from tl_cli.results import OnProgress, Rehearsal, silent

BATCH = features.BATCH


def rehearse(config: RunConfig, manifest: Manifest, on_progress: OnProgress = silent) -> Rehearsal:
    """Return the plan, the steps, the peak learning rates and an estimate of the time.

    The plan comes from the images as it would in a run. One batch of them is decoded, passed and,
    where the plan tunes, trained on, for the time; no weight is kept.
    """
    started = time.perf_counter()
    job = planning.prepare(config, manifest)
    seconds = {"build": time.perf_counter() - started}
    job = planning.advise(job, on_progress)
    seconds["features"] = _features(job)
    if job.plan.trains_backbone:
        job, tuning = _tuning(job, sum(seconds.values()), on_progress)
        seconds |= tuning
    plan = job.plan
    steps = pipeline.steps(plan.size, plan.batch_size) if plan.trains_backbone else 0
    return Rehearsal(
        plan=plan.to_json(),
        image_size=job.backbone.image_size,
        precision=job.precision,
        counts={split: manifest.counts(split) for split in SPLITS},
        steps_per_epoch=steps,
        steps=steps * plan.epochs,
        learning_rates=rates(job),
        alternatives={
            name: other.to_json()
            for name, other in freeze.alternatives(plan, job.backbone.blocks).items()
        },
        seconds={k: round(v, 1) for k, v in (seconds | {"total": sum(seconds.values())}).items()},
        notes=manifest.notes,
    )


def rates(job: Job) -> dict[str, float]:
    """Return the peak rates: of the head, and of the first and the last block that are trained."""
    plan, blocks = job.plan, job.backbone.blocks
    if not plan.trains_backbone:
        return {"head": 0.0}
    found = {"head": plan.head_learning_rate}
    if plan.layer_decay == 1:
        return found | {"backbone": plan.learning_rate}
    for i in (plan.frozen_blocks, len(blocks) - 1):
        found[blocks[i].name] = plan.learning_rate * plan.layer_decay ** (len(blocks) - i)
    return found


def _features(job: Job) -> float:
    """Return the seconds of the one pass, from one batch of the user's own images."""
    if job.config.from_scratch:
        return 0.0
    records = job.manifest.records[:BATCH]
    start = time.perf_counter()
    images = features.images(records, job.backbone.image_size)
    decode = (time.perf_counter() - start) / len(records)
    images = np.resize(images, (BATCH, *images.shape[1:]))
    forward = budget.least_seconds(lambda: job.backbone.model.predict_on_batch(images)) / BATCH
    return len(job.manifest.records) * (decode + forward)


def _tuning(job: Job, before: float, on_progress: OnProgress) -> tuple[Job, dict[str, float]]:
    """Return the job, with fewer epochs where no more fit, and the seconds of its tuning."""
    built = classifier.build(
        job.backbone, job.manifest.classes, job.taps, job.config.pooling, job.auxiliary
    )
    if job.config.max_minutes:
        job = budget.fit_into(job, built, job.config.max_minutes * 60 - before, on_progress)
    steps = job.plan.epochs * pipeline.steps(job.plan.size, job.plan.batch_size)
    tuning = {"tune": steps * budget.step_seconds(job, built)}
    if job.views > 1:
        tuning["views"] = (job.views - 1) * budget.view_seconds(job)
    return job, tuning
