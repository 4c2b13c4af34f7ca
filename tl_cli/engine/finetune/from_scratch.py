"""Training from scratch: from random weights, through every epoch, BatchNorm and all.

What transfer learning is measured against. Knows nothing of run directories.
"""

from __future__ import annotations

import math

import keras
import numpy as np

from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune import fit
from tl_cli.engine.finetune.fit import BestCheckpoint
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.networks.classifier import Classifier, build
from tl_cli.engine.networks.loading import Backbone
from tl_cli.engine.trained_model import TrainedModel
from tl_cli.results.progress import OnProgress
from tl_cli.results.training import FromScratchResult

MOMENTUM = (
    0.9  # of BatchNorm's moments at most; 0.99 would take hundreds of steps to forget 0 and 1
)


def begin(context: RunContext) -> Classifier:
    """Return the classifier of a job with random weights in all of it."""
    taps = context.taps if context.config.head == "multi" else context.taps[-1:]
    initialise(context.backbone, context.config.seed)
    built = build(
        context.backbone, context.manifest.classes, taps, context.config.pooling, context.auxiliary
    )
    shape = built.head.kernel.shape
    glorot = keras.initializers.GlorotUniform(seed=context.config.seed)(shape)
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


def train(context: RunContext, built: Classifier, on_progress: OnProgress) -> TrainedModel:
    """Train everything; the weights of the epoch that is best on validation stay in `built`."""
    feed, best = TrainingData(context, on_progress), BestCheckpoint()
    stages = [(0, range(1, context.plan.epochs + 1))]
    model, gradients = fit.train(context, built, feed, best, stages, on_progress, norms=True)
    temperature = fit.restore_and_calibrate(built, best, context.labels("val"))
    row = best.history[best.epoch - 1]
    return TrainedModel(
        context=context,
        built=built,
        probabilities=lambda split: feed.predict(model, split),
        history=best.history,
        gradients=gradients,
        scratch=FromScratchResult(
            epochs=len(best.history),
            best_epoch=best.epoch,
            log_loss=row["val_log_loss"],
            accuracy=row["val_accuracy"],
            temperature=temperature,
        ),
    )
