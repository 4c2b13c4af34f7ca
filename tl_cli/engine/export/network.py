"""What is exported: the network alone, its weights made constants, and what a format may need."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tl_cli.data.manifest import REGRESSION, Manifest
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.store.run_dir import RunDir

# images float32 [b, size, size, 3] in 0..255 -> probabilities float32 [b, C]
Runtime = Callable[[np.ndarray], np.ndarray]
SIGNATURE = "serving_default"
# what swish learns by cannot be saved with constants in place of weights, and nothing learns there
NO_GRADIENTS = tf.saved_model.SaveOptions(experimental_custom_gradients=False)


@dataclass(frozen=True)
class Network:
    """A classifier to be exported, the run that it is from, and images for it."""

    built: Classifier
    quantize: str | None
    run: RunDir
    data: Manifest | None = None  # images to check and calibrate with, instead of the run's own

    @property
    def size(self) -> int:
        """The side of the images, in pixels."""
        return self.built.backbone.image_size

    @property
    def output(self) -> str:
        """What comes out is called: probabilities, or a value in the unit of the labels."""
        return "value" if self.built.task == REGRESSION else "probabilities"

    @property
    def image(self) -> tf.TensorSpec:
        """What goes in: raw RGB, 0..255."""
        return tf.TensorSpec((None, self.size, self.size, 3), tf.float32, "image")

    @cached_property
    def plain(self) -> keras.Model:
        """The network as it is used after training, whoever calls it and how.

        `training=False` is fixed in a model around it, because layers that do not hand it on would
        else leave BatchNorm in training mode.
        """
        image = self.built.model.inputs[0]
        return keras.Model(image, self.built.model(image, training=False))

    @cached_property
    def function(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """From `image` to {"probabilities": [b, C]}, with constants in place of weights.

        Of a number to {"value": [b, 1]}.
        """
        traced = tf.function(lambda image: self.plain(image, training=False), [self.image])
        # constants convert, save and load in a tenth of the time that variables of Keras take
        frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
        return tf.function(lambda image: {self.output: frozen(image)[0]}, [self.image])

    @property
    def labels(self) -> str:
        """The class names, one a line, in the order of the probabilities."""
        return "".join(" ".join(name.splitlines()) + "\n" for name in self.built.classes)

    @property
    def facts(self) -> dict[str, str]:
        """What formats with room for it carry inside; `classes` is a JSON list."""
        return {
            "classes": json.dumps(self.built.classes, ensure_ascii=False),
            "input": f"RGB 0..255, {self.size} x {self.size}",
        }

    def save(self, path: Path) -> None:
        """Write a SavedModel of the function alone: what other formats are made from."""
        signatures = {SIGNATURE: self.function}
        tf.saved_model.save(tf.Module(), str(path), signatures=signatures, options=NO_GRADIENTS)
