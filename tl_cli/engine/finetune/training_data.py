"""What the tuned part is fed with: rows kept at the cut, one view an epoch, or pixels.

Knows nothing of losses and optimizers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from tl_cli.engine import features
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import PLAIN, View
from tl_cli.engine.images import dataset, image_store
from tl_cli.results.progress import Note, OnProgress, Progress

PREDICT_BATCH = 64

Source = image_store.ImageStore | features.Rows


class Views:
    """Several views of the same images, one after the other: row v * n + i is image i in view v."""

    def __init__(self, views: list[Source]) -> None:
        self.views = views
        self.shape = (len(views) * len(views[0]), *views[0].shape[1:])
        self.dtype = views[0].dtype

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows, which are of one view: that is how epochs take them."""
        view, _ = divmod(int(rows[0]), len(self.views[0]))
        return self.views[view][rows - view * len(self.views[0])]


@dataclass
class TrainingData:
    """The images of a job as the part after the cut sees them; each source is opened once."""

    context: RunContext
    on_progress: OnProgress
    _open: dict[tuple[str, int], Source] = field(default_factory=dict)

    @property
    def cut(self) -> int:
        """The cut at which training begins; 0 where pixels are fed."""
        return self.context.plan.frozen_blocks if self.context.caches_cut else 0

    @property
    def row_taps(self) -> tuple[int, ...]:
        """The taps whose pooled outputs follow the tensor in a row."""
        return self.context.row().taps if self.cut else ()

    def source(self, split: str, view: int = 0) -> Source:
        """Return a split's rows; view 0 is the plain one."""
        if (split, view) not in self._open:
            self._open[split, view] = self._source(split, view)
        return self._open[split, view]

    def _source(self, split: str, view: int) -> Source:
        context, records = self.context, self.context.manifest.of(split)
        if not self.cut:
            return self._pixels(split)
        looked = (
            View(view, context.plan.augment, context.mirror, context.config.seed) if view else PLAIN
        )
        [rows] = features.extract(
            context.backbone,
            records,
            [context.row(looked)],
            stage=f"view {view + 1}/{context.views}" if split == "train" else f"{split} images",
            on_progress=self.on_progress,
        )
        return rows

    def _pixels(self, split: str) -> image_store.ImageStore:
        """Return a split's decoded images; say once where they are held."""
        store = image_store.store(
            self.context.manifest.of(split),
            self.context.backbone.image_size,
            memory=self.context.memory,
            disk=None if self.context.config.cache else 0,
            on_progress=lambda done, total: self.on_progress(Progress("decode", done, total)),
        )
        if split == "train":
            self.on_progress(Note(f"{store.describe()}."))
        return store

    @property
    def indices(self) -> np.ndarray:
        """The training images of an epoch, rare classes several times where asked for."""
        labels = self.context.labels("train")
        if self.context.config.balance == "oversample":
            return dataset.oversample(labels, self.context.config.seed)
        return np.arange(len(labels))

    def steps(self) -> int:
        """Return the steps of one epoch."""
        return dataset.steps(len(self.indices), self.context.plan.batch_size)

    def batches(self, first_epoch: int, outputs: int = 1) -> tf.data.Dataset:
        """Return the batches of epoch after epoch: augmented pixels, or the views in turn.

        Labels and weights stand in each of them as often as the network has `outputs`.
        """
        context, plan = self.context, self.context.plan
        source = Views([self.source("train", view) for view in range(context.views)])
        size, indices = len(context.labels("train")), self.indices
        weights = context.weights if context.config.balance == "weights" else None
        batches = dataset.batches(
            source,
            np.tile(context.labels("train"), context.views),
            batch_size=plan.batch_size,
            training=True,
            indices=lambda epoch: indices + size * ((epoch - 1) % context.views),
            classes=plan.classes,
            one_hot=True,
            sample_weight=None if weights is None else np.tile(weights, context.views),
            augment="none" if self.cut else plan.augment,
            mirror=not self.cut and context.mirror,
            seed=context.config.seed,
            epoch=first_epoch,
        )
        if outputs == 1:
            return batches
        return batches.map(lambda x, *rest: (x, *((each,) * outputs for each in rest)))

    def predict(self, model: keras.Model, split: str) -> np.ndarray:
        """Return the probabilities, float32 [n, C], of the plain images of a split, in order."""
        return self.predict_all(model, split)[0]

    def predict_all(self, model: keras.Model, split: str) -> list[np.ndarray]:
        """Return the same for each of the network's outputs."""
        source, parts = self.source(split), []
        for start in range(0, len(source), PREDICT_BATCH):
            real = min(PREDICT_BATCH, len(source) - start)
            rows = np.arange(start, start + PREDICT_BATCH)
            rows[real:] = start  # padded, so that the network is traced for one shape
            scores = model.predict_on_batch(source[rows].astype("float32"))
            outputs = scores if isinstance(scores, list) else [scores]
            parts.append([softmax(np.asarray(s[:real], "float32"), axis=1) for s in outputs])
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
