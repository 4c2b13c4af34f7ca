"""How long a training step takes here, and how many epochs fit into the time that is left.

Knows nothing of images: a step is measured on rows of the right size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from tl_cli import freeze
from tl_cli.engine import pipeline
from tl_cli.engine.classifier import Classifier
from tl_cli.engine.job import Job
from tl_cli.results import Note, OnProgress

VALIDATION = 0.35  # of a training step: a forward pass without the way back


def step_seconds(job: Job, built: Classifier) -> float:
    """Return the seconds of one training step of the plan; no weight is changed by it."""
    cut = job.plan.frozen_blocks if job.caches_cut else 0
    still = keras.optimizers.SGD(0.0)
    taps = job.row().taps if cut else ()
    model = built.begin(job.plan.frozen_blocks, still, cut, taps)
    rng = np.random.default_rng(0)
    shape = (job.plan.batch_size, *model.inputs[0].shape[1:])
    x = rng.uniform(0, 255 if cut == 0 else 1, shape).astype("float32")
    y = np.eye(job.plan.classes, dtype="float32")[np.arange(len(x)) % job.plan.classes]
    labels = (y,) * len(model.outputs) if len(model.outputs) > 1 else y
    return least_seconds(lambda: model.train_on_batch(x, labels))


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
    step = step_seconds(job, built)
    validation = len(job.manifest.of("val")) / job.plan.batch_size * VALIDATION
    epoch = step * (steps + validation)
    epochs = int(np.clip(seconds // epoch, 1, job.plan.epochs))
    on_progress(
        Note(
            f"A step takes {step:.2f} s, so an epoch takes about {epoch:.0f} s: {epochs} of "
            f"{job.plan.epochs} epochs fit into the {seconds / 60:.1f} minutes that are left."
        )
    )
    return replace(job, plan=freeze.override(job.plan, epochs=epochs))
