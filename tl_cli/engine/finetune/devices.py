"""A training step on several devices of this machine, each of which takes a share of the batch.

tf.distribute.MirroredStrategy: every device holds a copy of the weights, and what is added up over
all of them is the gradient of the whole batch. The step is that of one device, within rounding,
where BatchNorm is frozen, which it is but in a training from scratch; there each device takes the
moments of its own share. Three things are done otherwise than Keras 3.15 does them there, for with
it the step would be another one: gradients are added up before they are clipped, a batch that does
not divide evenly is filled up with images of weight 0, and the loss that is told is that of all.

Knows nothing of what trains.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from tl_cli.config import RunConfig
from tl_cli.engine.finetune.auxiliary_heads import AuxiliaryHeads
from tl_cli.engine.finetune.compile import suffix
from tl_cli.engine.finetune.settings import FinetuneSettings
from tl_cli.engine.finetune.state import assign, copies
from tl_cli.engine.images import dataset
from tl_cli.engine.networks import graph
from tl_cli.engine.networks.classifier import Classifier, build
from tl_cli.engine.networks.loading import Backbone
from tl_cli.errors import TLError
from tl_cli.humanize import count
from tl_cli.results.progress import Note, OnProgress

ALL = "all"
FILLING = -1.0  # the weight of what fills up a batch


def available() -> list[str]:
    """Return the names of the devices that can train: the GPUs, or the CPU where there are none.

    A process may have told TensorFlow to make several devices of its CPU.
    """
    gpus = tf.config.list_logical_devices("GPU")
    return [device.name for device in gpus or tf.config.list_logical_devices("CPU")]


def check(config: RunConfig) -> None:
    """Raise TLError where more devices are asked for than there are."""
    if config.devices in (None, ALL):
        return
    if int(config.devices) > len(there := available()):
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        raise TLError(
            f"--devices {config.devices} cannot be had: TensorFlow sees "
            f"{count(len(there), f'{kind} device')} on this machine",
            "leave --devices out: all GPUs train, or else the CPU with all its cores",
        )


def chosen(config: RunConfig, settings: FinetuneSettings) -> Sequence[str]:
    """Return the devices that a training is shared out to: one where that cannot be.

    A step in parts, and gradients that are looked at, are one device's.
    """
    there = available()
    several = len(there) if tf.config.list_logical_devices("GPU") or config.devices == ALL else 1
    wanted = int(config.devices) if config.devices and config.devices != ALL else several
    if settings.parts > 1 or config.gradient_flow:
        wanted = 1
    size = settings.plan.size
    smallest = size // max(1, dataset.steps(size, settings.plan.batch_size))
    return there[: max(1, min(wanted, smallest))]


def tell(config: RunConfig, settings: FinetuneSettings, on_progress: OnProgress) -> None:
    """Say it where several devices train, and where fewer do than were asked for."""
    number = len(chosen(config, settings))
    if number > 1:
        on_progress(Note(f"{number} devices train, each on its share of every batch."))
    elif config.devices not in (None, "1") and len(available()) > 1:
        why = "a step in parts" if settings.parts > 1 else "this training"
        on_progress(Note(f"One device trains: {why} cannot be shared out.", needed=True))


@dataclass(frozen=True)
class Replicas:
    """A classifier and its auxiliary heads, and what trains: these, or copies on all `devices`."""

    classifier: Classifier
    auxiliary: AuxiliaryHeads
    devices: Sequence[str]

    @property
    def several(self) -> bool:
        return len(self.devices) > 1

    def scope(self) -> AbstractContextManager[Any]:
        """What is built in here lies on all devices."""
        return _strategy(tuple(self.devices)).scope() if self.several else contextlib.nullcontext()

    @cached_property
    def trained(self) -> Classifier:
        """The classifier that trains, with the weights that the given one has now."""
        if not self.several:
            return self.classifier
        with self.scope():
            copied = _copied(self.classifier)
        assign(copied.model.weights, copies(self.classifier.model.weights))
        return copied

    @cached_property
    def trained_auxiliary(self) -> AuxiliaryHeads:
        """The auxiliary heads that train."""
        if not self.several:
            return self.auxiliary
        with self.scope():
            copied = replace(
                self.auxiliary, heads=tuple(map(keras.models.clone_model, self.auxiliary.heads))
            )
        assign(copied.weights, copies(self.auxiliary.weights))
        return copied

    def seen(self, model: keras.Model, cut: int, row_taps: Sequence[int]) -> keras.Model:
        """Return what is validated, on one device: what trains, or what is given its weights."""
        return suffix(self.classifier, cut, row_taps, self.auxiliary) if self.several else model

    def give_back(self) -> None:
        """Give the classifier that was given, and its heads, the weights of those that train."""
        if self.several:
            assign(self.classifier.model.weights, copies(self.trained.model.weights))
            assign(self.auxiliary.weights, copies(self.trained_auxiliary.weights))


@functools.cache
def _strategy(devices: tuple[str, ...]) -> Any:
    """Return one strategy in the life of the process: a second one would take the first's names
    for what is added up, of other shapes, and TensorFlow ends there."""
    return tf.distribute.MirroredStrategy(list(devices))


def _copied(classifier: Classifier) -> Classifier:
    """Build the same network once more. Its weights are to be set."""
    old = classifier.backbone
    model = keras.models.clone_model(old.model)
    return build(
        Backbone(old.card, old.image_size, model, tuple(graph.blocks(model))),
        classifier.classes,
        classifier.taps,
        classifier.pooling,
        batchnorm_trains=classifier.batchnorm_trains,
        task=classifier.task,
        thresholds=classifier.thresholds,
        scale=classifier.scale,
        centres=classifier.head.kernel.shape[0] if classifier.kernel else 0,
    )


def shared_out(batches: tf.data.Dataset, devices: int) -> tf.data.Dataset:
    """Return batches (x, y[, weight]) as (x, y, weight) whose size is a multiple of `devices`.

    Filled up with copies of the first image, of weight FILLING, which `Shared` knows.
    """

    def filled(x: tf.Tensor, y: tf.Tensor, weight: tf.Tensor | None = None) -> tuple[Any, ...]:
        more = -tf.shape(x)[0] % devices
        weight = tf.ones(tf.shape(x)[:1]) if weight is None else weight
        x, y = (tf.concat([each, tf.repeat(each[:1], more, 0)], 0) for each in (x, y))
        return x, y, tf.pad(weight, [[0, more]], constant_values=FILLING)

    return batches.map(filled)


class Shared(keras.Model):
    """A model whose step is shared out to devices, each of which is given a share of the batch."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one step, on (x, y, weight) as `shared_out` makes them."""
        x, y, weights = data
        replica = tf.distribute.get_replica_context()
        devices = replica.num_replicas_in_sync
        share = tf.cast(tree.flatten(weights)[0] != FILLING, tf.float32)
        images = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(share))
        # the mean over what is in the batch is to be that over its images
        scale = share * tf.cast(tf.size(share) * devices, tf.float32) / images
        weights = tree.map_structure(lambda weight: weight * scale, weights)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True), weights)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_weights)
        # before they are clipped, or looked at for numbers: both go by the whole batch
        present = [gradient for gradient in gradients if gradient is not None]
        added = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, present))
        gradients = [None if gradient is None else next(added) for gradient in gradients]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self._loss_tracker.update_state(loss * devices, sample_weight=images / devices)
        return {"loss": self._loss_tracker.result()}
