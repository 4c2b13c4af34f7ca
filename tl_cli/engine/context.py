"""What a run is about: images, network, precision, room; decided once. Knows no training."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

import numpy as np

from tl_cli import catalog, engine
from tl_cli.config import RunConfig
from tl_cli.data import grey_levels, groups
from tl_cli.data.manifest import SPLITS, Manifest, Record
from tl_cli.engine.features import PLAIN, FeatureSpec, View
from tl_cli.engine.images import dataset
from tl_cli.engine.networks import graph, loading, nodes
from tl_cli.engine.networks.loading import Backbone
from tl_cli.engine.networks.pooling import DEVIATION, POOLINGS
from tl_cli.engine.tasks import TASKS, Task, for_run
from tl_cli.plan.blocks import nearest_cut
from tl_cli.store import cache, cache_folder

CACHE_SHARE = 0.5  # of what the cache may hold: all features of one run together
# Images to train on, up to which the head sees each map's deviation beside its average: time and
# memory of the closed form grow with the square of the columns.
DEVIATION_UP_TO = 4_000
LIKELY_RATIO = 0.5  # where a plan that is still open would cut, if it frees a part


def head_taps(backbone: Backbone, config: RunConfig) -> tuple[int, ...]:
    """Return the cuts whose pooled outputs a head may see; flat early maps are too much to join."""
    ends = backbone.stage_ends
    return ends[-1:] if config.pooled == "flatten" and config.head != "multi" else ends


def feature_spec_of(backbone: Backbone, config: RunConfig) -> FeatureSpec:
    """Return the table of the one pass: a thumbnail, then every depth that is probed.

    The late stages' ends, which a head may see, stand last.
    """
    early = () if config.pooled == "flatten" else backbone.early_ends
    depths = (*early, *head_taps(backbone, config))
    return FeatureSpec(depths, dtype=config.feature_dtype, pooling=config.pooled, pixels=True)


def tap_widths(backbone: Backbone, config: RunConfig, cuts: Sequence[int]) -> list[int]:
    """Return how many columns what is pooled at each cut has."""
    width = POOLINGS[config.pooled].width
    return [width(backbone.blocks[cut - 1].output_shape) for cut in cuts]


@dataclass(frozen=True)
class RunContext:
    """What every step needs to know; the same from the first to the last."""

    config: RunConfig
    manifest: Manifest
    backbone: Backbone
    precision: str
    room: int  # bytes of features that the run may keep on disk; 0: none

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def records(self) -> list[Record]:
        """All images, split by split: the order of what `extract` gives."""
        return [record for split in SPLITS for record in self.manifest.of(split)]

    def labels(self, *splits: str) -> np.ndarray:
        """Return the class numbers of the images of the splits, int64 [n], in order.

        Where an image may have several labels: indicators float32 [n, C] of 0 and 1. Where they are
        numbers: float64 [n, 1].
        """
        records = [record for split in splits for record in self.manifest.of(split)]
        return TASKS[self.manifest.task].targets(records, self.classes)

    @cached_property
    def task(self) -> Task:
        """What differs by the kind of labels."""
        return for_run(self.manifest.task, self.labels("train"))

    def sample_weights(self, *splits: str) -> np.ndarray | None:
        """Return float32 [n] where classes are to be balanced by weights, else None."""
        if self.config.balance == "none":
            return None
        labels = self.labels(*splits)
        return dataset.class_weights(labels, len(self.classes))[labels]

    def groups(self, *splits: str) -> np.ndarray | None:
        """Return the number of each image's group, int64 [n]; None where all stand alone.

        One group, whatever is held out: the table's groups, exact copies and near copies.
        """
        numbers = groups.numbers([r for split in splits for r in self.manifest.of(split)])
        return None if numbers is None else np.array(numbers)

    @property
    def decoded_memory(self) -> int | None:
        """Bytes of decoded images to hold; None: what the store thinks right."""
        limit = self.config.cache_memory
        return None if limit is None else int(limit * 1e9)

    @property
    def taps(self) -> tuple[int, ...]:
        """The cuts whose pooled outputs a head may see."""
        return head_taps(self.backbone, self.config)

    @property
    def feature_spec(self) -> FeatureSpec:
        """The table of the one pass."""
        return feature_spec_of(self.backbone, self.config)

    @property
    def pass_specs(self) -> list[FeatureSpec]:
        """The tables of the one pass; with the likely cut's tensor, where it may be needed."""
        cut = self.likely_cut
        return [self.feature_spec, *([self.cut_spec(cut)] if self.fits(cut) else [])]

    @property
    def depths(self) -> tuple[int, ...]:
        """The cuts that are probed: the taps, and some before them where that is not too much."""
        return self.feature_spec.taps

    def widths(self, cuts: Sequence[int]) -> list[int]:
        """Return how many columns what is pooled at each cut has."""
        return tap_widths(self.backbone, self.config, cuts)

    def cut_spec(self, cut: int, view: View = PLAIN) -> FeatureSpec:
        """Return the table that what follows a cut is fed from: the cut, and the taps up to it."""
        taps = tuple(tap for tap in self.taps if tap <= cut)
        return FeatureSpec(taps, cut, view, self.config.feature_dtype, self.config.pooled)

    def cut_bytes(self, cut: int) -> int:
        """Return the bytes that one view of all images takes at a cut."""
        size = 2 if self.config.feature_dtype == "float32" else 1
        return len(self.manifest.records) * self.backbone.blocks[cut - 1].cache_bytes * size

    def activation_bytes(self, cut: int) -> int:
        """Return the bytes that a training step keeps of one image for what follows a cut.

        As many as its weighted layers make: 54 MB of EfficientNet-Lite0 at 224 px, measured 47. Of
        layers within a layer (a transformer's) each makes as much as the whole.
        """
        tuned = itertools.chain(*graph.calls(self.backbone.model)[cut:])
        return sum(
            4 * len(nodes.leaves(call.operation)) * math.prod(output.shape[1:])
            for call in tuned
            for output in call.output_tensors
        )

    def fits(self, cut: int) -> bool:
        """Return whether the tensor at a cut may be kept, so that what is frozen runs once."""
        return 0 < cut < len(self.backbone.blocks) and self.cut_bytes(cut) <= self.room

    @property
    def likely_cut(self) -> int:
        """The cut that a plan would have, before there is one; 0 where none is likely."""
        freeze, blocks = self.config.freeze, self.backbone.blocks
        ratio = {"auto": LIKELY_RATIO, "half": 0.5, "head": 1.0, "full": 0.0}.get(freeze)
        return nearest_cut(blocks, float(freeze) if ratio is None else ratio) % len(blocks)


def prepare(config: RunConfig, manifest: Manifest) -> RunContext:
    """Set the precision and the seed, load the network at the image size, measure the room."""
    precision = engine.prepare(config.precision, config.seed, deterministic=config.deterministic)
    grey_levels.use(grey_levels.held(manifest.records))
    card = catalog.get(config.backbone, config.preprocessing)
    size = config.image_size or catalog.fitting_size(card, median_side(manifest))
    weights = None if config.from_scratch else config.weights or loading.PRETRAINED
    backbone = loading.load(card, size, weights)
    config = config.effective(pooling=config.pooling or fitting_pooling(config, manifest))
    return RunContext(config, manifest, backbone, precision, room(config))


def fitting_pooling(config: RunConfig, manifest: Manifest) -> str:
    """Return how to pool where nothing is asked for (docs/heads.md); from scratch as papers do."""
    many = len(manifest.of("train")) > DEVIATION_UP_TO
    return "avg" if many or config.from_scratch else DEVIATION


def room(config: RunConfig) -> int:
    """Return the bytes of features that a run may keep; 0 where there is no cache."""
    if not (config.cache and cache_folder.usable()):
        return 0
    with contextlib.suppress(OSError):
        return int(CACHE_SHARE * cache.bound())
    return 0


def median_side(manifest: Manifest) -> float:
    """Return the median of the images' shorter sides, in pixels."""
    return median(min(record.width, record.height) for record in manifest.records)
