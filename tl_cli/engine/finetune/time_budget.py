"""How long a training step takes here, and how many epochs fit into the time that is left.

Knows nothing of images: a step is measured on rows of the right size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tl_cli.data.manifest import Record
from tl_cli.engine import features
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import BATCH
from tl_cli.engine.finetune.compile import compile_suffix
from tl_cli.engine.finetune.settings import STEP_COST, FinetuneSettings, with_epochs
from tl_cli.engine.finetune.state import assign, copies
from tl_cli.engine.images import dataset
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.results.progress import Note, OnProgress

# What else a stage costs, in times of what it took to build and trace a network: to trace a step
# and its way back, to solve again, to load from disk again and look; and what a report asks for.
OVERHEAD = {"tune": 0.5, "epoch": 1.5, "again": 0.5, "save": 0.3}
ENDING, REPORT = {"evaluate": 0.9}, {"report": 1.4}
TIMED = 4  # calls of `least_seconds`: the first traces
VALIDATION = 0.35  # of a training step: a forward pass without the way back


def step_seconds(context: RunContext, settings: FinetuneSettings, classifier: Classifier) -> float:
    """Return the seconds of one training step; no weight is changed by it, no BatchNorm moment."""
    before = copies(classifier.model.weights)
    taps = context.cut_spec(settings.cut).taps if settings.cut else ()
    model = compile_suffix(
        classifier,
        settings.plan.frozen_blocks,
        keras.optimizers.SGD(0.0),
        settings.cut,
        taps,
        loss=context.task.tuning.loss(settings.plan.label_smoothing),
        auxiliary=settings.auxiliary,
    )
    rng, plan = np.random.default_rng(0), settings.plan
    shape = (plan.batch_size, *model.inputs[0].shape[1:])
    x = rng.uniform(0, 1 if settings.cut else 255, shape).astype("float32")
    y = np.eye(plan.classes, dtype="float32")[np.arange(len(x)) % plan.classes]
    labels = (y,) * len(model.outputs) if len(model.outputs) > 1 else y
    seconds = least_seconds(lambda: model.train_on_batch(x, labels))
    assign(classifier.model.weights, before)
    return seconds


def view_seconds(context: RunContext, settings: FinetuneSettings) -> float:
    """Return the seconds in which all training images pass the frozen part once; 0 if none is."""
    if not settings.cut:
        return 0.0
    prefix = features.network(context.backbone, [context.cut_spec(settings.cut)])
    return settings.plan.size * image_seconds(context, prefix)


def image_seconds(context: RunContext, network: keras.Model) -> float:
    """Return the seconds in which one of the user's images is decoded and passes a network."""
    images, decode = _decoded(context, context.manifest.records[:BATCH])
    return decode + least_seconds(lambda: network.predict_on_batch(images)) / BATCH


def _decoded(context: RunContext, records: Sequence[Record]) -> tuple[np.ndarray, float]:
    """Return a full batch of images, some of them more than once, and the seconds that one took."""
    start = time.perf_counter()
    images = features.images(records, context.backbone.image_size)
    decode = (time.perf_counter() - start) / len(records)
    images = np.resize(images, (BATCH, *images.shape[1:]))
    return images, decode


def least_seconds(call: Callable[[], object], times: int = TIMED - 1) -> float:
    """Return the least seconds of some calls, after one that traces and builds."""
    call()
    seen = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seen.append(time.perf_counter() - start)
    return min(seen)


def forecast(context: RunContext, settings: FinetuneSettings, building: float) -> dict[str, float]:
    """Return the seconds that a plan will take, by kind of stage, from one pass of one batch.

    As multiples of a forward pass, where `tl train --dry-run` measures: no step is traced for it,
    so it costs under a second. `building`: what it took to build and trace a network; that comes
    again (OVERHEAD). Where the backbone is not trained, the end alone is left.
    """
    plan, manifest = settings.plan, context.manifest
    ending = ending_seconds(context, building)
    if not plan.trains_backbone:
        return ending
    decode, forward = untraced_seconds(context)
    tuned = (1 - plan.frozen_compute_share) * forward
    epoch = plan.size * STEP_COST * tuned + len(manifest.of("val")) * tuned
    frozen = decode + plan.frozen_compute_share * forward
    seconds = {stage: times * building for stage, times in OVERHEAD.items()} | ending
    if settings.cut:
        seconds["view"] = settings.views * plan.size * frozen
    seconds["epoch"] += plan.epochs * epoch
    seconds["evaluate"] += len(manifest.of("test")) * (decode + forward)
    return seconds


def ending_seconds(context: RunContext, building: float) -> dict[str, float]:
    """Return the seconds in which what is saved is loaded and measured, and a report is made."""
    stages = ENDING | (REPORT if context.config.report else {})
    return {stage: times * building for stage, times in stages.items()}


def untraced_seconds(context: RunContext) -> tuple[float, float]:
    """Return the seconds in which one image is decoded, and in which it passes the network.

    Rougher than `image_seconds`: nothing is traced for it, which takes longer than to run it.
    """
    images, decode = _decoded(context, context.manifest.of("train")[:BATCH])
    model = context.backbone.model

    def seconds(x: np.ndarray) -> float:
        return least_seconds(lambda: np.asarray(model(x, training=False)), times=1)

    one, many = seconds(images[:1]), seconds(images)
    return decode, max(many - one, many / 2) / (BATCH - 1)  # what a call costs itself is left out


def fit_into_time(
    context: RunContext,
    settings: FinetuneSettings,
    classifier: Classifier,
    seconds: float,
    on_progress: OnProgress,
) -> FinetuneSettings:
    """Return the settings with as many epochs as fit into `seconds`, at least one, and say so."""
    plan = settings.plan
    steps = dataset.steps(plan.size, plan.batch_size)
    step, view = step_seconds(context, settings, classifier), view_seconds(context, settings)
    validation = len(context.manifest.of("val")) / plan.batch_size * VALIDATION
    epoch = step * (steps + validation)
    chosen = most_epochs(context, settings, epoch, view, seconds)
    said = f", and a view of the images {view:.0f} s" if chosen.views > 1 else ""
    on_progress(
        Note(
            f"A step takes {step:.2f} s, so an epoch takes about {epoch:.0f} s{said}: "
            f"{chosen.plan.epochs} of {plan.epochs} epochs fit into the "
            f"{max(seconds, 0) / 60:.1f} minutes that are left."
        )
    )
    return chosen


def most_epochs(
    context: RunContext, settings: FinetuneSettings, epoch: float, view: float, seconds: float
) -> FinetuneSettings:
    """Return the settings with as many epochs as fit; each epoch, each view takes so long."""
    most = settings.plan.epochs
    why = "as many as --max-minutes leaves time for"
    shorter = [
        with_epochs(
            context, settings, n, why, f"--max-minutes leaves time for {n} of {most} epochs."
        )
        for n in range(most, 0, -1)
    ]
    fits = (s for s in shorter if s.plan.epochs * epoch + (s.views - 1) * view <= seconds)
    return next(fits, shorter[-1])
