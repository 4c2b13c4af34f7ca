"""What a run is about, settled: images, backbone, plan, precision. Knows nothing of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tl_cli.config import RunConfig
from tl_cli.data import groups
from tl_cli.data.manifest import Manifest
from tl_cli.engine.features import PLAIN, FeatureSpec, View
from tl_cli.engine.finetune import auxiliary_heads
from tl_cli.engine.finetune.auxiliary_heads import Auxiliary
from tl_cli.engine.images import dataset
from tl_cli.engine.metrics.figures import encode
from tl_cli.engine.networks.loading import Backbone
from tl_cli.engine.networks.pooling import POOLINGS
from tl_cli.plan import FreezePlan
from tl_cli.store import cache

SPLITS = ("train", "val", "test")
VIEWS = 10  # looks kept an image at the most; see docs/benchmarks.md, "Views"
CACHE_SHARE = 0.5  # of what the cache may hold: all looks of one run together
VIEW_COST = 0.5  # of the tuning's multiply-adds: what the passes for the augmented looks may cost
STEP_COST = 3  # forward passes that a training step costs, forward and back


def head_taps(backbone: Backbone, config: RunConfig) -> tuple[int, ...]:
    """Return the cuts whose pooled outputs a head may see; flat early maps are too much to join."""
    ends = backbone.stage_ends
    return ends[-1:] if config.pooling == "flatten" and config.head != "multi" else ends


def feature_spec_of(backbone: Backbone, config: RunConfig) -> FeatureSpec:
    """Return the table of the one pass: a thumbnail, then every depth that is probed.

    The late stages' ends, which a head may look at, stand last.
    """
    early = () if config.pooling == "flatten" else backbone.early_ends
    depths = (*early, *head_taps(backbone, config))
    return FeatureSpec(depths, dtype=config.feature_dtype, pooling=config.pooling, pixels=True)


def tap_widths(backbone: Backbone, config: RunConfig, cuts: Sequence[int]) -> list[int]:
    """Return how many columns what is pooled at each cut has."""
    width = POOLINGS[config.pooling].width
    return [width(backbone.blocks[cut - 1].output_shape) for cut in cuts]


@dataclass(frozen=True)
class RunContext:
    """What every phase needs to know."""

    config: RunConfig
    manifest: Manifest
    backbone: Backbone
    plan: FreezePlan
    precision: str
    mirror: bool = False  # whether augmentation may mirror
    auxiliary: Auxiliary = auxiliary_heads.NONE

    def labels(self, split: str) -> np.ndarray:
        return encode([r.label for r in self.manifest.of(split)], self.manifest.classes)

    def groups(self, split: str) -> np.ndarray | None:
        """Return the number of each image's group, int [n]; None where every image stands alone.

        One group, whatever is held out: the table's groups, exact copies and near copies.
        """
        numbers = groups.numbers(self.manifest.of(split))
        return None if numbers is None else np.array(numbers)

    @property
    def awaits_evidence(self) -> bool:
        """Whether the plan follows from a look at the images, which is still to come."""
        config = self.config
        return config.freeze == "auto" and not config.from_scratch and self.plan.evidence is None

    @property
    def caches_cut(self) -> bool:
        """Whether the tensor at the cut is kept, so that the frozen part runs once an image."""
        cut = self.plan.frozen_blocks
        if self.awaits_evidence or self.plan.strategy != "partial" or not self.config.cache:
            return False
        return self.cut_bytes(cut) <= CACHE_SHARE * cache.bound()

    @property
    def memory(self) -> int | None:
        """Bytes of decoded images to hold; None: what the store thinks right."""
        given = self.config.cache_memory
        return None if given is None else int(given * 1e9)

    @property
    def weights(self) -> np.ndarray | None:
        """The weight of each training image, where classes are to be balanced by weights."""
        if self.config.balance == "none":
            return None
        labels = self.labels("train")
        return dataset.class_weights(labels, len(self.manifest.classes))[labels]

    @property
    def taps(self) -> tuple[int, ...]:
        """The cuts whose pooled outputs a head may see; flat early maps are too much to join."""
        return head_taps(self.backbone, self.config)

    @property
    def views(self) -> int:
        """Return how many augmented looks at each training image are kept at the cut.

        One epoch takes one of them. Each costs a pass of the frozen part and its place on disk, so
        there are fewer where the frozen part is most of the computation.
        """
        plan = self.plan
        if not self.caches_cut or plan.augment == "none":
            return 1
        tuning = plan.epochs * STEP_COST * (1 - plan.frozen_compute_share)
        affordable = 1 + int(VIEW_COST * tuning / plan.frozen_compute_share)
        wanted = min(self.config.views or min(VIEWS, affordable), plan.epochs)
        room = CACHE_SHARE * cache.bound() / self.cut_bytes(plan.frozen_blocks)
        return max(1, min(wanted, int(room)))

    @property
    def feature_spec(self) -> FeatureSpec:
        """Return the table of the one pass."""
        return feature_spec_of(self.backbone, self.config)

    @property
    def depths(self) -> tuple[int, ...]:
        """The cuts that are probed: the taps, and some before them where that is not too much."""
        return self.feature_spec.taps

    def widths(self, cuts: Sequence[int]) -> list[int]:
        """Return how many columns what is pooled at each cut has."""
        return tap_widths(self.backbone, self.config, cuts)

    def row(self, view: View = PLAIN) -> FeatureSpec:
        """Return the table that the tuned part is fed from: the cut, and the taps before it."""
        cut = self.plan.frozen_blocks
        taps = tuple(tap for tap in self.taps if tap <= cut)
        return FeatureSpec(taps, cut, view, self.config.feature_dtype, self.config.pooling)

    @property
    def feeding(self) -> str:
        """Say in one sentence what the tuned part is fed with, and why."""
        plan = self.plan
        if plan.frozen_blocks == 0:
            return "Nothing is frozen, so every epoch passes the whole network."
        if not self.config.cache:
            return "Without a cache the frozen part runs again in every epoch."
        need = self.cut_bytes(plan.frozen_blocks)
        if not self.caches_cut:
            return (
                f"The output of the frozen part would take {need / 1e9:.1f} GB and one run may "
                f"keep {CACHE_SHARE * cache.bound() / 1e9:.1f} GB: it is computed in every epoch."
            )
        views = f" in {self.views} views, one an epoch in turn" if self.views > 1 else ""
        return (
            f"The frozen part runs once: its output is kept for each image{views} "
            f"({need * self.views / 1e6:,.1f} MB)."
        )

    def cut_bytes(self, cut: int) -> int:
        """Return the bytes that one view of all images takes at a cut."""
        size = 2 if self.config.feature_dtype == "float32" else 1
        return len(self.manifest.records) * self.backbone.blocks[cut - 1].cache_bytes * size

    def decided(self, **values: str) -> RunContext:
        """Return the job with what the images have decided in place of `auto`."""
        return replace(self, config=self.config.effective(**values))

    def effective(self) -> RunConfig:
        """Return the configuration with all that was decided."""
        plan = self.plan
        decided = {
            "image_size": self.backbone.image_size,
            "precision": self.precision,
            "freeze": f"{plan.freeze_ratio:g}",
            "batch_size": plan.batch_size,
        }
        if plan.trains_backbone:
            decided |= {
                "epochs": plan.epochs,
                "learning_rate": plan.learning_rate,
                "weight_decay": plan.weight_decay,
                "augment": plan.augment,
                "layer_decay": plan.layer_decay,
                "label_smoothing": plan.label_smoothing,
                "views": self.views,
            }
        return self.config.effective(**decided)
