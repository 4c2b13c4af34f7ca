"""How large the gradient is at each layer while training goes on, on one batch that stays the same.

What made deep networks untrainable is seen here: in a plain network it shrinks from layer to layer
on its way to the first one (He et al. 2015, arXiv:1512.03385). Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_cli.engine.networks.classifier import Classifier

A_EPOCH = 3  # steps of each epoch that are looked at


class GradientFlow(keras.callbacks.Callback):
    """Collects `rows`: epoch, step, depth, layer, kind and the root mean square of its gradient.

    `depth` counts the weighted layers of the backbone from the input, and the head as the last;
    frozen ones have no row. `batch` (x, y[, weight]) must be set before training. The measurement
    leaves no trace: BatchNorm moments and random states are put back.
    """

    def __init__(self, classifier: Classifier, steps: int) -> None:
        super().__init__()
        self.layers = [*classifier.backbone.layers, classifier.head]
        self.steps = {round(i * (steps - 1) / (A_EPOCH - 1)) for i in range(A_EPOCH)}
        self.batch: tuple[Any, ...] = ()
        self.rows: list[dict[str, Any]] = []
        self.epoch = 0
        self._compiled: Any = None

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        # each stage of the training has a model of its own
        self._compiled = tf.function(lambda *batch: gradients(self.model, *batch))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if batch not in self.steps:
            return
        kept = [tf.identity(v.value) for v in self.model.non_trainable_variables]
        found = self._compiled(*self.batch)
        for variable, value in zip(self.model.non_trainable_variables, kept, strict=True):
            variable.assign(value)
        sizes = dict(
            zip([v.path for v in self.model.trainable_variables], map(np.array, found), strict=True)
        )
        for depth, layer in enumerate(self.layers, 1):
            own = [sizes[v.path].ravel() for v in layer.weights if v.path in sizes]
            if own:
                self.rows.append(self._row(batch + 1, depth, layer, np.concatenate(own)))

    def _row(
        self, step: int, depth: int, layer: keras.Layer, gradient: np.ndarray
    ) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "step": step,
            "depth": depth,
            "layer": layer.path,
            "kind": type(layer).__name__,
            "rms": float(np.sqrt(np.mean(np.square(gradient, dtype="float64")))),
        }


def gradients(model: keras.Model, x: Any, y: Any, weight: Any = None) -> list[tf.Tensor]:
    """Return the gradient of the compiled model's loss for each trainable variable, in order."""
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True), weight)
    return tape.gradient(
        loss, model.trainable_weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
