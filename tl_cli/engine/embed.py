"""Images -> the features that a head sees; from the cache where they passed the network before.

Knows nothing of the files that they are written to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_cli import config, engine
from tl_cli.catalog import Card
from tl_cli.config import RunConfig
from tl_cli.data import grey_levels
from tl_cli.data.manifest import TASKS, Record
from tl_cli.engine import features, predict
from tl_cli.engine.context import feature_spec_of
from tl_cli.engine.features import FeatureSpec
from tl_cli.engine.networks import loading
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.networks.loading import Backbone
from tl_cli.engine.networks.pooling import DEVIATION, POOLINGS
from tl_cli.errors import TLError
from tl_cli.results.progress import OnProgress
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir


@dataclass(frozen=True)
class Embedder:
    """A network that is asked for features: `width` columns of the rows of a table.

    They end `after` columns from the right.
    """

    backbone: Backbone
    spec: FeatureSpec
    width: int
    after: int = 0

    def passed(self, records: Sequence[Record]) -> int:
        """Return how many of the images passed before, so that their features are kept."""
        kept = set(features.kept(self.backbone, self.spec))
        return sum(record.digest in kept for record in records)

    def embed(self, records: Sequence[Record], on_progress: OnProgress) -> np.ndarray:
        """Return float32 [n, width] for the images in order; each content passes once.

        Raises TLError where an image can no longer be read, or has another content by now.
        """
        [rows] = features.extract(self.backbone, records, [self.spec], on_progress=on_progress)
        end = self.spec.width(self.backbone) - self.after
        return rows[:][:, end - self.width : end].astype("float32")


def of_run(run: RunDir) -> Embedder:
    """Return what the head of a checkpoint sees. Raises TLError as `predict.load_checkpoint`."""
    return of_classifier(run, predict.load_checkpoint(run, TASKS))


def of_classifier(run: RunDir, built: Classifier) -> Embedder:
    """Return what the head of a run's loaded checkpoint sees.

    Its table is that of the run's own pass; a checkpoint that was copied without its configuration
    has one of its own.
    """
    spec = FeatureSpec(built.taps, pooling=built.pooling)
    with contextlib.suppress(TLError):
        own = feature_spec_of(built.backbone, config.load(run / run_dir.CONFIG))
        if own.pooling == built.pooling and own.taps[-len(built.taps) :] == tuple(built.taps):
            spec = own
    return Embedder(built.backbone, spec, built.width)


def of_backbone(card: Card, image_size: int, records: Sequence[Record]) -> Embedder:
    """Return the averages of a pretrained backbone's last map, at images of that side in pixels.

    Its table is that of a training with this backbone and nothing else asked for. Levels of more
    than 8 bits are scaled by what these images hold, as a training on them would.
    """
    engine.prepare("float32", seed=0)
    grey_levels.use(grey_levels.held(records))
    backbone = loading.load(card, image_size)
    defaults = RunConfig(data="", backbone=card.name).effective(pooling=DEVIATION)
    spec = feature_spec_of(backbone, defaults)
    shape = backbone.blocks[-1].output_shape
    average, pooled = (POOLINGS[way].width(shape) for way in ("avg", DEVIATION))
    return Embedder(backbone, spec, average, after=pooled - average)
