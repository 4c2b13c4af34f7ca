"""What the tuned part is fed with: rows kept at the cut, one view an epoch, or pixels.

Knows nothing of losses and optimizers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from tl_cli.engine import features
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import PLAIN, View
from tl_cli.engine.finetune.devices import shared_out
from tl_cli.engine.finetune.settings import FinetuneSettings
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
    """The images of a run as the part after the cut sees them; each source is opened once."""

    context: RunContext
    settings: FinetuneSettings
    on_progress: OnProgress
    _open: dict[tuple[str, int], Source] = field(default_factory=dict)

    @property
    def cut(self) -> int:
        """The cut at which training begins; 0 where pixels are fed."""
        return self.settings.cut

    @property
    def row_taps(self) -> tuple[int, ...]:
        """The taps whose pooled outputs follow the tensor in a row."""
        return self.context.cut_spec(self.cut).taps if self.cut else ()

    def source(self, split: str, view: int = 0) -> Source:
        """Return a split's rows; view 0 is the plain one."""
        if (split, view) not in self._open:
            self._open[split, view] = self._source(split, view)
        return self._open[split, view]

    def _source(self, split: str, view: int) -> Source:
        context, settings = self.context, self.settings
        if not self.cut:
            return self._pixels(split)
        recipe = View(view, settings.plan.augment, settings.mirror, context.config.seed)
        stage = f"view {view + 1}/{settings.views}" if split == "train" else f"{split} images"
        [rows] = features.extract(
            context.backbone,
            context.manifest.of(split),
            [context.cut_spec(self.cut, recipe if view else PLAIN)],
            stage=stage,
            on_progress=self.on_progress,
        )
        return rows

    def _pixels(self, split: str) -> image_store.ImageStore:
        """Return a split's decoded images; say once where they are held."""
        store = image_store.store(
            self.context.manifest.of(split),
            self.context.backbone.image_size,
            memory=self.context.decoded_memory,
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
        return dataset.steps(len(self.indices), self.settings.plan.batch_size)

    def batches(self, first_epoch: int, outputs: int = 1, devices: int = 1) -> tf.data.Dataset:
        """Return the batches of epoch after epoch: augmented pixels, or the views in turn.

        Labels and weights stand in each of them as often as the network has `outputs`. For several
        devices they are as `shared_out` makes them.
        """
        context, settings, plan = self.context, self.settings, self.settings.plan
        views, labels = settings.views, context.labels("train")
        weights = context.sample_weights("train") if context.config.balance == "weights" else None
        indices = self.indices
        batches = dataset.batches(
            Views([self.source("train", view) for view in range(views)]),
            np.concatenate([labels] * views),
            batch_size=plan.batch_size,
            training=True,
            parts=settings.parts,
            indices=lambda epoch: indices + len(labels) * ((epoch - 1) % views),
            classes=plan.classes,
            one_hot=True,
            sample_weight=None if weights is None else np.tile(weights, views),
            augment="none" if self.cut else plan.augment,
            mirror=not self.cut and settings.mirror,
            seed=context.config.seed,
            epoch=first_epoch,
        )
        if devices > 1:
            batches = shared_out(batches, devices)
        if outputs == 1:
            return batches
        return batches.map(lambda x, *rest: (x, *((each,) * outputs for each in rest)))

    def outputs(self, model: keras.Model, split: str) -> list[np.ndarray]:
        """Return what each output of a model fed at the cut is, float32 [n, ...], plain images."""
        source, parts = self.source(split), []
        for start in range(0, len(source), PREDICT_BATCH):
            real = min(PREDICT_BATCH, len(source) - start)
            rows = np.arange(start, start + PREDICT_BATCH)
            rows[real:] = start  # padded, so that the network is traced for one shape
            made = model.predict_on_batch(source[rows].astype("float32"))
            made = made if isinstance(made, list) else [made]
            parts.append([np.asarray(each[:real], "float32") for each in made])
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
