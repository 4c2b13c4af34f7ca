"""What the tuned part is fed with: rows kept at the cut, one view an epoch, or pixels.

Knows nothing of losses and optimizers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from tl_cli.engine import features, pipeline
from tl_cli.engine.features import PLAIN, View
from tl_cli.engine.job import Job
from tl_cli.results import OnProgress

PREDICT_BATCH = 64

Source = pipeline.ImageStore | features.Rows


@dataclass
class Feed:
    """The images of a job as the part after the cut sees them; each source is opened once."""

    job: Job
    on_progress: OnProgress
    _open: dict[tuple[str, int], Source] = field(default_factory=dict)

    @property
    def cut(self) -> int:
        """The cut at which training begins; 0 where pixels are fed."""
        return self.job.plan.frozen_blocks if self.job.caches_cut else 0

    @property
    def row_taps(self) -> tuple[int, ...]:
        """The taps whose pooled outputs follow the tensor in a row."""
        return self.job.row().taps if self.cut else ()

    def source(self, split: str, view: int = 0) -> Source:
        """Return a split's rows; view 0 is the plain one."""
        if (split, view) not in self._open:
            self._open[split, view] = self._source(split, view)
        return self._open[split, view]

    def _source(self, split: str, view: int) -> Source:
        job, records = self.job, self.job.manifest.of(split)
        if not self.cut:
            return pipeline.store(records, job.backbone.image_size, memory=job.memory)
        looked = View(view, job.plan.augment, job.mirror, job.config.seed) if view else PLAIN
        [rows] = features.extract(
            job.backbone,
            records,
            [job.row(looked)],
            stage=f"view {view + 1}/{job.views}",
            on_progress=self.on_progress,
        )
        return rows

    @property
    def indices(self) -> np.ndarray:
        """The training images of an epoch, rare classes several times where asked for."""
        labels = self.job.labels("train")
        if self.job.config.balance == "oversample":
            return pipeline.oversample(labels, self.job.config.seed)
        return np.arange(len(labels))

    def steps(self) -> int:
        """Return the steps of one epoch."""
        return pipeline.steps(len(self.indices), self.job.plan.batch_size)

    def epoch(self, number: int) -> tf.data.Dataset:
        """Return the batches of epoch 1, 2, ...: augmented pixels, or the view whose turn it is."""
        job, plan = self.job, self.job.plan
        return pipeline.batches(
            self.source("train", (number - 1) % job.views),
            job.labels("train"),
            batch_size=plan.batch_size,
            training=True,
            indices=self.indices,
            classes=plan.classes,
            one_hot=True,
            sample_weight=job.weights if job.config.balance == "weights" else None,
            augment="none" if self.cut else plan.augment,
            mirror=not self.cut and job.mirror,
            seed=job.config.seed,
            epoch=number,
        )

    def predict(self, model: keras.Model, split: str) -> np.ndarray:
        """Return the probabilities, float32 [n, C], of the plain images of a split, in order."""
        source, parts = self.source(split), []
        for start in range(0, len(source), PREDICT_BATCH):
            real = min(PREDICT_BATCH, len(source) - start)
            rows = np.arange(start, start + PREDICT_BATCH)
            rows[real:] = start  # padded, so that the network is traced for one shape
            scores = model.predict_on_batch(source[rows].astype("float32"))
            parts.append(softmax(np.asarray(scores[:real], "float32"), axis=1))
        return np.concatenate(parts)
