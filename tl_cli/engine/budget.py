"""How long a training step takes here, and how many epochs fit into the time that is left.

Knows nothing of images: a step is measured on rows of the right size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from tl_cli.engine import features, pipeline
from tl_cli.engine.classifier import Classifier
from tl_cli.engine.features import BATCH
from tl_cli.engine.job import Job
from tl_cli.freeze.plan import training_reasons
from tl_cli.results import Note, OnProgress

VALIDATION = 0.35  # of a training step: a forward pass without the way back


def step_seconds(job: Job, built: Classifier) -> float:
    """Return the seconds of one training step of the plan; no weight is changed by it."""
    cut = job.plan.frozen_blocks if job.caches_cut else 0
    still = keras.optimizers.SGD(0.0)
    taps = job.row().taps if cut else ()
    norms = job.config.from_scratch
    model = built.begin(job.plan.frozen_blocks, still, cut, taps, norms=norms)
    rng = np.random.default_rng(0)
    shape = (job.plan.batch_size, *model.inputs[0].shape[1:])
    x = rng.uniform(0, 255 if cut == 0 else 1, shape).astype("float32")
    y = np.eye(job.plan.classes, dtype="float32")[np.arange(len(x)) % job.plan.classes]
    labels = (y,) * len(model.outputs) if len(model.outputs) > 1 else y
    return least_seconds(lambda: model.train_on_batch(x, labels))


def view_seconds(job: Job) -> float:
    """Return the seconds in which all training images pass the frozen part once; 0 if none is."""
    if not job.caches_cut:
        return 0.0
    backbone, records = job.backbone, job.manifest.of("train")[:BATCH]
    start = time.perf_counter()
    images = features.images(records, backbone.image_size)
    decode = (time.perf_counter() - start) / len(records)
    images = np.resize(images, (BATCH, *images.shape[1:]))
    prefix = features.network(backbone, [job.row()])
    batch = least_seconds(lambda: prefix.predict_on_batch(images))
    return job.plan.size * (decode + batch / BATCH)


def least_seconds(call: Callable[[], object], times: int = 3) -> float:
    """Return the least seconds of some calls, after one that traces and builds."""
    call()
    seen = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seen.append(time.perf_counter() - start)
    return min(seen)


def fit_into(job: Job, built: Classifier, seconds: float, on_progress: OnProgress) -> Job:
    """Return the job with as many epochs as fit into `seconds`, at least one, and say so."""
    steps = pipeline.steps(job.plan.size, job.plan.batch_size)
    step, view = step_seconds(job, built), view_seconds(job)
    validation = len(job.manifest.of("val")) / job.plan.batch_size * VALIDATION
    epoch = step * (steps + validation)
    chosen = most_epochs(job, epoch, view, seconds)
    said = f", and a view of the images {view:.0f} s" if chosen.views > 1 else ""
    on_progress(
        Note(
            f"A step takes {step:.2f} s, so an epoch takes about {epoch:.0f} s{said}: "
            f"{chosen.plan.epochs} of {job.plan.epochs} epochs fit into the "
            f"{max(seconds, 0) / 60:.1f} minutes that are left."
        )
    )
    return chosen


def most_epochs(job: Job, epoch: float, view: float, seconds: float) -> Job:
    """Return the job with as many epochs as fit, where each epoch and each view takes so long."""
    shorter = [with_epochs(job, epochs) for epochs in range(job.plan.epochs, 0, -1)]
    fits = (e for e in shorter if e.plan.epochs * epoch + (e.views - 1) * view <= seconds)
    return next(fits, shorter[-1])


def with_epochs(job: Job, epochs: int) -> Job:
    """Return the job with so many epochs, and with the reason in its plan."""
    plan = job.plan
    if epochs == plan.epochs:
        return job
    why = {**plan.why, "epochs": "as many as --max-minutes leaves time for"}
    shorter = replace(plan, epochs=epochs, why=why)
    renewed = dict(zip(training_reasons(plan), training_reasons(shorter), strict=True))
    reasons = [renewed.get(reason, reason) for reason in plan.reasons]
    reasons.append(f"--max-minutes leaves time for {epochs} of {plan.epochs} epochs.")
    return replace(job, plan=replace(shorter, reasons=tuple(reasons)))
