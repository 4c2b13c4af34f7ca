"""Training from scratch: from random weights, through every epoch, BatchNorm and all.

What transfer learning is measured against. Knows nothing of run directories.
"""

from __future__ import annotations

import math

import keras
import numpy as np

from tl_cli.engine import epochs
from tl_cli.engine.backbones import Backbone
from tl_cli.engine.classifier import Classifier, build
from tl_cli.engine.epochs import Best
from tl_cli.engine.feeding import Feed
from tl_cli.engine.job import Job
from tl_cli.engine.outcome import Outcome
from tl_cli.results import OnProgress, ScratchFacts

MOMENTUM = (
    0.9  # of BatchNorm's moments at most; 0.99 would take hundreds of steps to forget 0 and 1
)


def begin(job: Job) -> Classifier:
    """Return the classifier of a job with random weights in all of it."""
    taps = job.taps if job.config.head == "multi" else job.taps[-1:]
    initialise(job.backbone, job.config.seed)
    built = build(job.backbone, job.manifest.classes, taps, job.config.pooling, job.auxiliary)
    shape = built.head.kernel.shape
    glorot = keras.initializers.GlorotUniform(seed=job.config.seed)(shape)
    built.set_head(np.array(glorot), np.zeros(shape[-1], "float32"))
    return built


def initialise(backbone: Backbone, seed: int) -> None:
    """Draw every kernel from a normal distribution of variance 2 / fan-in, the seed's own draw.

    He et al. 2015, "Delving deep into rectifiers" (arXiv:1502.01852). What else a layer has keeps
    what Keras gave it: zeros for biases, the identity for normalisations, whose moments are made
    to follow within the few steps that a small data set has.
    """
    draw = np.random.default_rng(seed)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, MOMENTUM)
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            fan_in = math.prod(kernel.shape[: -2 if depthwise else -1])
            kernel.assign(draw.normal(0, math.sqrt(2 / fan_in), kernel.shape))


def train(job: Job, built: Classifier, on_progress: OnProgress) -> Outcome:
    """Train everything; the weights of the epoch that is best on validation stay in `built`."""
    feed, best = Feed(job, on_progress), Best()
    stages = [(0, range(1, job.plan.epochs + 1))]
    model, gradients = epochs.train(job, built, feed, best, stages, on_progress, norms=True)
    temperature = epochs.settle(built, best, job.labels("val"))
    row = best.history[best.epoch - 1]
    return Outcome(
        job=job,
        built=built,
        probabilities=lambda split: feed.predict(model, split),
        history=best.history,
        gradients=gradients,
        scratch=ScratchFacts(
            epochs=len(best.history),
            best_epoch=best.epoch,
            log_loss=row["val_log_loss"],
            accuracy=row["val_accuracy"],
            temperature=temperature,
        ),
    )
