"""What is exported: the network alone, its weights made constants, and what a format may need."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tl_cli.data.manifest import REGRESSION, Manifest
from tl_cli.engine.export import unknown
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.unknown import UnknownScore
from tl_cli.store.run_dir import RunDir

# images float32 [b, size, size, 3] in 0..255 -> each output by its name: `probabilities` float32
# [b, C] or `value` [b, 1], and where unknown images are told, `unknown_score` float32 [b]
Runtime = Callable[[np.ndarray], Mapping[str, np.ndarray]]
PROBABILITIES = "probabilities"
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
    unlike: UnknownScore | None = None  # what tells unknown images; None: one output

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what comes out, in the order that every format keeps: the alphabet's."""
        return tuple(sorted((self.output, *((unknown.SCORE,) if self.unlike else ()))))

    @property
    def size(self) -> int:
        """The side of the images, in pixels."""
        return self.built.backbone.image_size

    @property
    def output(self) -> str:
        """What comes out is called: probabilities, or a value in the unit of the labels."""
        return "value" if self.built.task == REGRESSION else PROBABILITIES

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
        if self.unlike is None:
            image = self.built.model.inputs[0]
            return keras.Model(image, self.built.model(image, training=False))
        whole = self.built.with_features
        image = whole.inputs[0]
        answers, seen = whole(image, training=False)
        score = unknown.layers(self.unlike)(seen, training=False)
        return keras.Model(image, {self.output: answers, unknown.SCORE: score})

    @cached_property
    def function(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """From `image` to its outputs by their names, with constants in place of weights."""
        plain = self.plain  # made out here: inside a trace no weights are set
        traced = tf.function(lambda image: plain(image, training=False), [self.image])
        # constants convert, save and load in a tenth of the time that variables of Keras take
        frozen = convert_variables_to_constants_v2(traced.get_concrete_function())

        def named(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return dict(zip(self.outputs, frozen(image), strict=True))

        return tf.function(named, [self.image])

    @property
    def labels(self) -> str:
        """The class names, one a line, in the order of the probabilities."""
        return "".join(" ".join(name.splitlines()) + "\n" for name in self.built.classes)

    @property
    def facts(self) -> dict[str, str]:
        """What formats with room for it carry inside; `classes` is a JSON list."""
        told = {
            "classes": json.dumps(self.built.classes, ensure_ascii=False),
            "input": f"RGB 0..255, {self.size} x {self.size}",
        }
        return told | ({"unknown_threshold": f"{unknown.THRESHOLD:g}"} if self.unlike else {})

    @property
    def files(self) -> dict[str, str]:
        """What formats that hold files carry inside, by name."""
        told = {"labels.txt": self.labels}
        threshold = self.facts.get("unknown_threshold")
        return told | ({"unknown_threshold.txt": f"{threshold}\n"} if threshold else {})

    def save(self, path: Path) -> None:
        """Write a SavedModel of the function alone: what other formats are made from."""
        signatures = {SIGNATURE: self.function}
        tf.saved_model.save(tf.Module(), str(path), signatures=signatures, options=NO_GRADIENTS)
