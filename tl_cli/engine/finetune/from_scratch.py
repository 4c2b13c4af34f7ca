"""Training from scratch: from random weights, through every epoch, BatchNorm and all.

What transfer learning is measured against. Knows nothing of run directories.
"""

from __future__ import annotations

import math

import keras
import numpy as np

from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.candidates import Candidate, put_in_place
from tl_cli.engine.finetune.checkpoints import NONE, Checkpoints
from tl_cli.engine.finetune.fit import fit
from tl_cli.engine.finetune.settings import FinetuneSettings
from tl_cli.engine.finetune.state import assign
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.finetune.validation import loss_column
from tl_cli.engine.networks.classifier import Classifier, build
from tl_cli.engine.networks.loading import Backbone
from tl_cli.engine.trained_model import Finetuned
from tl_cli.errors import TLError
from tl_cli.plan import SCRATCH
from tl_cli.results.progress import OnProgress
from tl_cli.results.training import FromScratchResult

# Of BatchNorm's moments at most: 0.99 would take hundreds of steps to forget 0 and 1.
MOMENTUM = 0.9


def train_from_scratch(
    context: RunContext,
    settings: FinetuneSettings,
    on_progress: OnProgress,
    checkpoints: Checkpoints = NONE,
) -> Finetuned[FromScratchResult]:
    """Train everything from random weights; the epoch that is best on validation is taken.

    Raises TLError where the loss is no longer a number at any rate tried: there is nothing to keep.
    """
    classifier = random_classifier(context)
    data = TrainingData(context, settings, on_progress)
    fitted = fit(context, settings, classifier, data, on_progress, checkpoints)
    best = fitted.best
    if fitted.diverged:
        raise TLError(
            "the loss was no longer a number from the first epoch on, at any rate tried",
            f"give a smaller --learning-rate than {settings.plan.learning_rate:g}",
        )
    assign(classifier.model.weights, best.weights)
    scores = {"val": data.outputs(fitted.model, "val")[0]}
    trained = put_in_place(context, classifier, Candidate(SCRATCH, best.weights, scores))
    # the last of its number: an epoch that came to no number was gone through again
    row = next(row for row in reversed(best.history) if row["epoch"] == best.epoch)
    result = FromScratchResult(
        epochs=len(best.history),
        best_epoch=best.epoch,
        loss=row[loss_column(context)],
        figure=row[f"val_{context.task.tuning.figure_name}"],
        loss_name=context.task.tuning.loss_name,
        figure_name=context.task.tuning.figure_name,
    )
    return Finetuned(trained, result, best.history, fitted.gradients)


def random_classifier(context: RunContext) -> Classifier:
    """Return the classifier of a run with random weights in all of it, BatchNorm to be trained."""
    taps = context.taps if context.config.head == "multi" else context.taps[-1:]
    initialise(context.backbone, context.config.seed)
    none = np.zeros((0, len(context.classes)))
    classifier = build(
        context.backbone,
        context.classes,
        taps,
        context.config.pooled,
        batchnorm_trains=True,
        thresholds=context.task.thresholds(none, none),  # until there are answers
    )
    shape = classifier.head.kernel.shape
    glorot = keras.initializers.GlorotUniform(seed=context.config.seed)(shape)
    classifier.set_head(np.array(glorot), np.zeros(shape[-1], "float32"))
    return classifier


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
