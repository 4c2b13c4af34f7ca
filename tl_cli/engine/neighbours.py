"""Which training images a network finds most alike: by the features that the one pass has kept.

Knows nothing of drawing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tl_cli import rundir
from tl_cli.engine import features
from tl_cli.engine.backbones import Backbone
from tl_cli.engine.features import Wanted
from tl_cli.explanations import Neighbour
from tl_cli.manifest import Record, read_csv
from tl_cli.results import OnProgress
from tl_cli.rundir import RunDir


@dataclass(frozen=True)
class Nearest:
    """The training images of a run, as its backbone sees them."""

    backbone: Backbone
    records: tuple[Record, ...]
    rows: np.ndarray  # float32 [N, D], of length 1

    def of(self, images: np.ndarray, count: int) -> list[tuple[Neighbour, ...]]:
        """Return the training images most alike to each of float32 [n, size, size, 3], by cosine.

        The most similar first; fewer than `count` where there are fewer.
        """
        maps = np.asarray(self.backbone.model(images, training=False), dtype="float32")
        likeness = _unit(maps.mean(axis=(1, 2))) @ self.rows.T
        best = np.argsort(-likeness, axis=1, kind="stable")[:, :count]
        return [
            tuple(
                Neighbour(self.records[i].path, self.records[i].label, float(own[i])) for i in order
            )
            for own, order in zip(likeness, best, strict=True)
        ]


def load(run: RunDir, backbone: Backbone, on_progress: OnProgress) -> Nearest:
    """Return a run's training images. What the backbone makes of them is computed where it is gone.

    Raises TLError where the run's manifest is gone, or an image that has to be opened again.
    """
    records = read_csv(run / rundir.MANIFEST).of("train")
    [rows] = features.extract(
        backbone, records, [Wanted(backbone.stage_ends)], on_progress=on_progress
    )
    last = backbone.blocks[-1].output_shape[-1]
    return Nearest(backbone, records, _unit(rows.array()[:, -last:].astype("float32")))


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
