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
    build = time.perf_counter() - started
    job = planning.advise(job, on_progress)
    plan = job.plan
    steps = pipeline.steps(plan.size, plan.batch_size) if plan.trains_backbone else 0
    seconds = {"build": build, **_estimate(job, steps)}
    rates = (
        {"head": plan.head_learning_rate, "backbone": plan.learning_rate}
        if plan.trains_backbone
        else {"head": 0.0}
    )
    return Rehearsal(
        plan=plan.to_json(),
        image_size=job.backbone.image_size,
        precision=job.precision,
        counts={split: manifest.counts(split) for split in SPLITS},
        steps_per_epoch=steps,
        steps=steps * plan.epochs,
        learning_rates=rates,
        alternatives={
            name: other.to_json()
            for name, other in freeze.alternatives(plan, job.backbone.blocks).items()
        },
        seconds={k: round(v, 1) for k, v in (seconds | {"total": sum(seconds.values())}).items()},
        notes=manifest.notes,
    )


def _estimate(job: Job, steps: int) -> dict[str, float]:
    records = job.manifest.records[:BATCH]
    start = time.perf_counter()
    images = features.images(records, job.backbone.image_size)
    decode = (time.perf_counter() - start) / len(records)
    images = np.resize(images, (BATCH, *images.shape[1:]))
    forward = budget.least_seconds(lambda: job.backbone.model.predict_on_batch(images)) / BATCH
    looks = 0 if job.config.from_scratch else len(job.manifest.records)
    seconds = {"features": looks * (decode + forward)}
    if job.plan.trains_backbone:
        built = classifier.build(
            job.backbone, job.manifest.classes, job.taps, job.config.pooling, job.auxiliary
        )
        seconds["tune"] = steps * job.plan.epochs * budget.step_seconds(job, built)
        frozen = forward * job.plan.frozen_compute_share
        seconds["views"] = (job.views - 1) * job.plan.size * (decode + frozen)
    return seconds
