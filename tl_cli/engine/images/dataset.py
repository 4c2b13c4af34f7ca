"""Rows of a store or of features -> batches as Keras takes them, and how long it waits for them.

Knows nothing of how rows came to be, nor of networks.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from tl_cli.data.digests import CHANGED_SINCE_THE_SCAN
from tl_cli.engine.images import augmentation
from tl_cli.errors import TLError
from tl_cli.machine import cores

# Batches made ahead of the one in use.
AHEAD = 4


class Source(Protocol):
    """What has rows that can be gathered: an ImageStore, an array, a memory-mapped array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


def steps(n: int, batch_size: int) -> int:
    """Return the batches of one epoch over n rows."""
    return -(-n // batch_size)


def batches(
    source: Source,
    labels: np.ndarray | None = None,
    *,
    batch_size: int,
    training: bool,
    parts: int = 1,
    indices: np.ndarray | Callable[[int], np.ndarray] | None = None,
    classes: int | None = None,
    one_hot: bool = False,
    sample_weight: np.ndarray | None = None,
    augment: str = "none",
    mirror: bool = False,
    seed: int = 0,
    epoch: int = 0,
) -> tf.data.Dataset:
    """Return batches (x), (x, y) or (x, y, weight), x as float32 [b, ...] and images in 0..255.

    `indices`: which rows of `source`, `labels` and `sample_weight`, in which order; one may come
    several times (None: each once; a function gives those of each epoch). `labels`: int [n]; y is
    int32 [b], or float32 [b, classes] with `one_hot`, which the mixing levels of `augment` need
    (ValueError without). Or rows float32 [n, C], which are y as they are, and can be mixed.

    Evaluation gives the rows once, in order, and drops none. Training never ends: epoch follows
    epoch, each in a new order over all rows, so the next one is made ready while the last one
    ends. Call `fit(dataset, steps_per_epoch=steps(n, batch_size), shuffle=False)`. An epoch's rows
    are dealt to its steps evenly, so no batch is a tiny rest; with `parts` each of them comes in so
    many, at most as many as it has rows, one after the other. The first one is `epoch`; what it
    and the later ones hold depends on (seed, epoch) alone.
    """

    def chosen(e: int) -> np.ndarray:
        given = indices(e) if callable(indices) else indices
        return np.arange(source.shape[0]) if given is None else np.asarray(given, np.int64)

    as_rows = labels is not None and labels.ndim == 2
    changes = training and (augment != "none" or mirror)
    mixes = training and labels is not None and augment in augmentation.MIXED
    if mixes and not (one_hot or as_rows):
        raise ValueError(f"augment='{augment}' mixes labels, so they must be one-hot")
    if one_hot and classes is None:
        raise ValueError("one_hot needs the number of classes")

    @functools.lru_cache(2)  # the epoch that ends, and the next one
    def dealt(e: int) -> list[tuple[np.ndarray, ...]]:
        """Return rows, draws, labels and weights of each batch of an epoch; no pixels."""
        rows = chosen(e)
        order = _order(len(rows), seed, e) if training else np.arange(len(rows))
        draws = augmentation.draw(len(rows), seed, e) if changes else np.empty((len(rows), 0))
        return [
            (
                at := rows[part],
                draws[part].astype("float32"),
                _of(labels, at, 0, "float32" if as_rows else "int32"),
                _of(sample_weight, at, 1, "float32"),
            )
            for batch in _dealt(order, batch_size, evenly=training)
            for part in np.array_split(batch, parts)
        ]

    count = steps(len(chosen(epoch)), batch_size) * parts

    def plan(number: np.ndarray) -> tuple[np.ndarray, ...]:
        epochs, step = divmod(int(number), count)
        return dealt(epoch + epochs)[step]

    def make(
        at: tf.Tensor, draws: tf.Tensor, y: tf.Tensor, weight: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        x = _gathered(source, at)
        if changes:
            x = augmentation.augmented(x, draws, augment, mirror)
        x = tf.cast(x, tf.float32)
        y = tf.one_hot(y, classes) if one_hot and not as_rows else y
        if mixes:
            x, y, weight = augmentation.mix(x, y, weight, draws, augment)
        return (x, y, weight)[: 1 if labels is None else 2 if sample_weight is None else 3]

    drawn = len(augmentation.COLUMNS) if changes else 0
    wide = [] if labels is None else list(labels.shape[1:])
    shapes = ([None], [None, drawn], [None, *wide], [None])
    types = (tf.int64, tf.float32, tf.float32 if as_rows else tf.int32, tf.float32)

    def planned(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        found = tf.numpy_function(plan, [number], types, stateful=False)
        return tuple(tf.ensure_shape(x, shape) for x, shape in zip(found, shapes, strict=True))

    # Not from_generator: on Python 3.11 that makes the process hand back memory after every step,
    # which costs a third of the training (docs/benchmarks.md, "Speed").
    numbers = tf.data.Dataset.counter() if training and count else tf.data.Dataset.range(count)
    data = numbers.map(planned)
    data = data.map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    options = tf.data.Options()
    # threads of its own: one that waits for the disk would stand in the way of the network
    options.threading.private_threadpool_size = max(2, cores())
    return data.prefetch(AHEAD).with_options(options)


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Raise the TLError of an image that could not be read, not what TensorFlow makes of it."""
    try:
        yield
    except tf.errors.OpError as error:
        told = re.search(r"\bTLError: (.*)", error.message or "")
        if not told:
            raise
        raise TLError(told[1], CHANGED_SINCE_THE_SCAN) from error


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return float32 [classes]: a weight for each class with which all count alike.

    `labels`: int [n]. The mean over the images is 1; a class without images has 0.
    """
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    share = len(labels) / (max(present, 1) * np.maximum(counts, 1))
    return np.where(counts > 0, share, 0).astype(np.float32)


def oversample(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return indices int64 [m] with which every class comes as often as the largest one.

    `labels`: int [n]. Each image comes at least once, and those of a class differ by one at most.
    """
    largest = np.bincount(labels).max(initial=0)
    random = np.random.default_rng(seed)
    chosen = [
        np.resize(random.permutation(np.flatnonzero(labels == name)), largest)
        for name in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


class Waiting(keras.callbacks.Callback):
    """Measures how much of the training time went by in waiting for data.

    Train on `watch(dataset)` and give this to `fit` as a callback. Each `fit` is measured anew;
    validation does not count, nor does the first step, before which the network is traced.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0  # seconds
        self.trained = 0.0  # seconds, waiting included
        self._asked = self._handed = self._since = 0.0
        self._traced = False

    @property
    def share(self) -> float:
        """The share of the training time, 0..1, in which the network had nothing to do."""
        return min(1.0, self.waited / self.trained) if self.trained else 0.0

    def watch(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Return the same batches, the moment noted at which each is handed over."""

        def handed_over(*batch: Any) -> Any:
            tf.numpy_function(self._note, [], [], stateful=True)
            return batch

        options = tf.data.Options()
        # either would hand the batches over ahead of the step that asks for them
        options.experimental_optimization.inject_prefetch = False
        options.experimental_optimization.map_parallelization = False
        return dataset.map(handed_over).with_options(options)

    def _note(self) -> None:
        self._handed = time.perf_counter()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.waited = self.trained = 0.0
        self._traced = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._since = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # what goes on in here is one call of Keras: it asks for the batch, then takes the step
        self._asked = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.perf_counter()
        if self._traced:
            self.waited += max(0.0, self._handed - self._asked)
            self.trained += now - self._since
        self._since, self._traced = now, True


def _order(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, 0)).permutation(n)


def _dealt(order: np.ndarray, batch_size: int, evenly: bool) -> list[np.ndarray]:
    count = steps(len(order), batch_size)
    if evenly and count:
        return np.array_split(order, count)
    return [order[i * batch_size : (i + 1) * batch_size] for i in range(count)]


def _of(values: np.ndarray | None, rows: np.ndarray, otherwise: int, kind: str) -> np.ndarray:
    found = np.full(len(rows), otherwise) if values is None else np.asarray(values)[rows]
    return found.astype(kind)


def _gathered(source: Source, rows: tf.Tensor) -> tf.Tensor:
    [x] = tf.numpy_function(lambda at: source[at], [rows], [source.dtype], stateful=False)
    return tf.ensure_shape(x, [None, *source.shape[1:]])
