"""How long a training step takes here, and how many epochs fit into the time that is left.

Knows nothing of images: a step is measured on rows of the right size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from tl_cli.engine import features
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import BATCH
from tl_cli.engine.images import dataset
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.plan.freeze_plan import training_reasons
from tl_cli.results.progress import Note, OnProgress

VALIDATION = 0.35  # of a training step: a forward pass without the way back


def step_seconds(context: RunContext, built: Classifier) -> float:
    """Return the seconds of one training step of the plan; no weight is changed by it."""
    cut = context.plan.frozen_blocks if context.caches_cut else 0
    still = keras.optimizers.SGD(0.0)
    taps = context.row().taps if cut else ()
    norms = context.config.from_scratch
    model = built.compile(context.plan.frozen_blocks, still, cut, taps, norms=norms)
    rng = np.random.default_rng(0)
    shape = (context.plan.batch_size, *model.inputs[0].shape[1:])
    x = rng.uniform(0, 255 if cut == 0 else 1, shape).astype("float32")
    y = np.eye(context.plan.classes, dtype="float32")[np.arange(len(x)) % context.plan.classes]
    labels = (y,) * len(model.outputs) if len(model.outputs) > 1 else y
    return least_seconds(lambda: model.train_on_batch(x, labels))


def view_seconds(context: RunContext) -> float:
    """Return the seconds in which all training images pass the frozen part once; 0 if none is."""
    if not context.caches_cut:
        return 0.0
    backbone, records = context.backbone, context.manifest.of("train")[:BATCH]
    start = time.perf_counter()
    images = features.images(records, backbone.image_size)
    decode = (time.perf_counter() - start) / len(records)
    images = np.resize(images, (BATCH, *images.shape[1:]))
    prefix = features.network(backbone, [context.row()])
    batch = least_seconds(lambda: prefix.predict_on_batch(images))
    return context.plan.size * (decode + batch / BATCH)


def least_seconds(call: Callable[[], object], times: int = 3) -> float:
    """Return the least seconds of some calls, after one that traces and builds."""
    call()
    seen = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seen.append(time.perf_counter() - start)
    return min(seen)


def fit_into_time(
    context: RunContext, built: Classifier, seconds: float, on_progress: OnProgress
) -> RunContext:
    """Return the job with as many epochs as fit into `seconds`, at least one, and say so."""
    steps = dataset.steps(context.plan.size, context.plan.batch_size)
    step, view = step_seconds(context, built), view_seconds(context)
    validation = len(context.manifest.of("val")) / context.plan.batch_size * VALIDATION
    epoch = step * (steps + validation)
    chosen = most_epochs(context, epoch, view, seconds)
    said = f", and a view of the images {view:.0f} s" if chosen.views > 1 else ""
    on_progress(
        Note(
            f"A step takes {step:.2f} s, so an epoch takes about {epoch:.0f} s{said}: "
            f"{chosen.plan.epochs} of {context.plan.epochs} epochs fit into the "
            f"{max(seconds, 0) / 60:.1f} minutes that are left."
        )
    )
    return chosen


def most_epochs(context: RunContext, epoch: float, view: float, seconds: float) -> RunContext:
    """Return the job with as many epochs as fit, where each epoch and each view takes so long."""
    shorter = [with_epochs(context, epochs) for epochs in range(context.plan.epochs, 0, -1)]
    fits = (e for e in shorter if e.plan.epochs * epoch + (e.views - 1) * view <= seconds)
    return next(fits, shorter[-1])


def with_epochs(context: RunContext, epochs: int) -> RunContext:
    """Return the job with so many epochs, and with the reason in its plan."""
    plan = context.plan
    if epochs == plan.epochs:
        return context
    why = {**plan.why, "epochs": "as many as --max-minutes leaves time for"}
    shorter = replace(plan, epochs=epochs, why=why)
    renewed = dict(zip(training_reasons(plan), training_reasons(shorter), strict=True))
    reasons = [renewed.get(reason, reason) for reason in plan.reasons]
    reasons.append(f"--max-minutes leaves time for {epochs} of {plan.epochs} epochs.")
    return replace(context, plan=replace(shorter, reasons=tuple(reasons)))
