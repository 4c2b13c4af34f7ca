"""Which training images a network finds most alike: by the features that the one pass has kept.

Knows nothing of drawing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tl_cli import config
from tl_cli.data.manifest import Record
from tl_cli.engine import features, run_images
from tl_cli.engine.context import feature_spec_of, tap_widths
from tl_cli.engine.networks.loading import Backbone
from tl_cli.engine.networks.pooling import POOLINGS
from tl_cli.results.explanations import Neighbour
from tl_cli.results.progress import OnProgress
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir


@dataclass(frozen=True)
class Nearest:
    """The training images of a run, as its backbone sees them."""

    backbone: Backbone
    records: tuple[Record, ...]
    rows: np.ndarray  # float32 [N, D], of length 1
    pooling: str

    def of(self, images: np.ndarray, count: int) -> list[tuple[Neighbour, ...]]:
        """Return the training images most alike to each of float32 [n, size, size, 3], by cosine.

        The most similar first; fewer than `count` where there are fewer.
        """
        pooled = POOLINGS[self.pooling].apply(self.backbone.model(images, training=False))
        likeness = _unit(np.asarray(pooled, dtype="float32")) @ self.rows.T
        best = np.argsort(-likeness, axis=1, kind="stable")[:, :count]
        return [
            tuple(
                Neighbour(self.records[i].path, self.records[i].label, float(own[i])) for i in order
            )
            for own, order in zip(likeness, best, strict=True)
        ]


def load(run: RunDir, backbone: Backbone, on_progress: OnProgress) -> Nearest:
    """Return a run's training images, by what its one pass kept; computed where that is gone.

    Those that are gone, and of which nothing is kept, are left out, as are those that others lie in
    the place of: that is told. Raises TLError where the run's manifest or configuration is gone.
    """
    settings = config.of_run(run / run_dir.CONFIG)
    spec = feature_spec_of(backbone, settings)
    kept = features.kept(backbone, spec)
    there = run_images.of_training(run, backbone.image_size, kept)
    run_images.tell(there, on_progress)
    [last] = tap_widths(backbone, settings, [len(backbone.blocks)])
    if not there.records:
        return Nearest(backbone, (), np.empty((0, last), "float32"), settings.pooled)
    [rows] = features.extract(backbone, there.records, [spec], on_progress=on_progress)
    units = _unit(rows.array()[:, -last:].astype("float32"))
    return Nearest(backbone, there.records, units, settings.pooled)


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
