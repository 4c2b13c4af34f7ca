"""`tl train --dry-run`: all that a run would do, and how long it would take, from one batch."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from tl_cli.config import RunConfig
from tl_cli.engine import classifier, features, pipeline
from tl_cli.engine.job import SPLITS, Job, prepare
from tl_cli.engine.optimizer import optimizer
from tl_cli.manifest import Manifest
from tl_cli.results import Rehearsal

BATCH = features.BATCH


def rehearse(config: RunConfig, manifest: Manifest) -> Rehearsal:
    """Return the plan, the steps, the peak learning rates and an estimate of the time.

    One batch of the user's own images is decoded, passed and, where the plan tunes, trained on;
    nothing is written and no weight is kept.
    """
    started = time.perf_counter()
    job = prepare(config, manifest)
    build = time.perf_counter() - started
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
        seconds={k: round(v, 1) for k, v in (seconds | {"total": sum(seconds.values())}).items()},
        notes=manifest.notes,
    )


def _estimate(job: Job, steps: int) -> dict[str, float]:
    records = job.manifest.records[:BATCH]
    start = time.perf_counter()
    images = features.images(records, job.backbone.image_size)
    decode = (time.perf_counter() - start) / len(records)
    images = np.resize(images, (BATCH, *images.shape[1:]))
    forward = _time(lambda: job.backbone.model.predict_on_batch(images)) / BATCH
    seconds = {"features": len(job.manifest.records) * (decode + forward)}
    if job.plan.trains_backbone:
        seconds["tune"] = steps * job.plan.epochs * _step(job, images)
        frozen = forward * job.plan.frozen_compute_share
        seconds["views"] = (job.views - 1) * job.plan.size * (decode + frozen)
    return seconds


def _step(job: Job, images: np.ndarray) -> float:
    """Return the seconds of one training step, on rows of the size that they will have."""
    built = classifier.build(job.backbone, job.manifest.classes, job.backbone.stage_ends)
    cut = job.plan.frozen_blocks if job.caches_cut else 0
    model = built.begin(
        job.plan.frozen_blocks, optimizer(job, 10), cut, job.row().taps if cut else ()
    )
    x = np.resize(images, (job.plan.batch_size, *model.inputs[0].shape[1:]))
    y = np.eye(job.plan.classes, dtype="float32")[np.arange(len(x)) % job.plan.classes]
    return _time(lambda: model.train_on_batch(x, y))


def _time(call: Callable[[], object], times: int = 3) -> float:
    """Return the least seconds of some calls, after one that traces and builds."""
    call()
    seen = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seen.append(time.perf_counter() - start)
    return min(seen)
