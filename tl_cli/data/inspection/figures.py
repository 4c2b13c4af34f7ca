"""What a set of images is like, what is wrong with it, and what that means for the training.

The figures of a manifest, with its findings; no files, no drawing, nothing of the framework.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any, NamedTuple

from tl_cli import catalog
from tl_cli.data import quantities
from tl_cli.data.duplicates import exact_duplicates, near_duplicates
from tl_cli.data.inspection.findings import WRONG, Finding, Group, found
from tl_cli.data.manifest import CLASSIFICATION, REGRESSION, SPLITS, BadFile, Manifest
from tl_cli.plan import DatasetStats


class Spread(NamedTuple):
    """How far a measure in pixels reaches over the images."""

    min: int
    median: float
    max: int


class Numbers(NamedTuple):
    """How the numbers of a quantity are spread over the images."""

    min: float
    median: float
    mean: float
    max: float
    different: int


@dataclass(frozen=True)
class Inspection:
    """The figures and the findings of one data set."""

    source: str
    images: int
    counts: dict[str, dict[str, int]]  # split -> class -> images, as they would be trained on
    drawn: tuple[str, ...]  # splits that the source lacks and training would draw
    sizes: dict[str, Spread]  # width, height, shorter_side
    modes: dict[str, int]  # Pillow's mode -> images, the most frequent first
    rotated: int  # images stored turned, with an EXIF orientation that says so
    per_class: dict[str, int]  # before the split
    training: DatasetStats  # its similarity is not known here
    image_size: int
    backbone: str  # the one that image_size is for
    bad: tuple[BadFile, ...]
    exact: tuple[Group, ...]
    near: tuple[Group, ...]
    findings: tuple[Finding, ...]
    task: str = CLASSIFICATION
    labels_an_image: float = 1.0  # mean
    numbers: Numbers | None = None  # where each image has one

    @property
    def wrong(self) -> bool:
        """Whether something should be mended before training."""
        return any(finding.severity == WRONG for finding in self.findings)

    @property
    def largest(self) -> str:
        return max(self.per_class, key=self.per_class.__getitem__)

    @property
    def smallest(self) -> str:
        return min(self.per_class, key=self.per_class.__getitem__)

    @property
    def imbalance(self) -> float:
        """Images of the largest class for each one of the smallest."""
        return self.per_class[self.largest] / self.per_class[self.smallest]

    @property
    def majority_baseline(self) -> float:
        """The accuracy of always naming the largest class, 0..1."""
        return self.per_class[self.largest] / self.images

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types, under keys that stay."""
        return {
            "source": self.source,
            "task": self.task,
            "images": self.images,
            "classes": list(self.per_class),
            "counts": self.counts,
            "drawn_splits": list(self.drawn),
            "images_per_class": _per_class(self.per_class.values()),
            "sizes": {name: spread._asdict() for name, spread in self.sizes.items()},
            "modes": self.modes,
            "exif_rotated": self.rotated,
            "largest_class": self.largest,
            "smallest_class": self.smallest,
            "imbalance": self.imbalance,
            "majority_baseline": self.majority_baseline,
            "labels_an_image": self.labels_an_image,
            "numbers": self.numbers._asdict() if self.numbers else None,
            "training_images": self.training.size,
            "effective_size": self.training.effective_size,
            "size_kind": self.training.kind,
            "image_size": self.image_size,
            "backbone": self.backbone,
            "bad_files": [asdict(bad) for bad in self.bad],
            "exact_duplicates": [_named(group) for group in self.exact],
            "near_duplicates": [_named(group) for group in self.near],
            "findings": [
                asdict(finding) | {"examples": list(finding.examples)} for finding in self.findings
            ],
            "wrong": self.wrong,
        }


def inspect(scanned: Manifest, split: Manifest | None, refused: str = "") -> Inspection:
    """Return what is to be known of the images before they are trained on.

    `scanned`: as `manifest.scan` gave it. `split`: as `assign_splits` made of it; None where it
    refused to, and `refused` says why.
    """
    used = split or scanned
    exact, near = exact_duplicates(scanned), near_duplicates(scanned)
    counts = {name: used.counts(name) for name in SPLITS if used.of(name)}
    trained = [n for n in (used.counts("train" if counts else "all")).values() if n]
    learned = len(used.of("train" if counts else "all"))
    sides = [min(r.width, r.height) for r in scanned.records]
    card = catalog.get(catalog.DEFAULT)
    return Inspection(
        source=scanned.source,
        images=len(scanned.records),
        counts=counts or {"all": used.counts()},
        drawn=tuple(name for name in counts if not scanned.of(name)),
        sizes={
            "width": _spread([r.width for r in scanned.records]),
            "height": _spread([r.height for r in scanned.records]),
            "shorter_side": _spread(sides),
        },
        modes=dict(Counter(r.mode for r in scanned.records).most_common()),
        rotated=sum(r.orientation != 1 for r in scanned.records),
        per_class=scanned.counts(),
        training=DatasetStats(learned, len(trained), median(trained or [0]), 0.5, "assumed"),
        image_size=catalog.fitting_size(card, median(sides)),
        backbone=card.name,
        bad=scanned.bad,
        exact=exact,
        near=near,
        findings=tuple(found(scanned, split, refused, exact, near)),
        task=scanned.task,
        labels_an_image=sum(scanned.counts().values()) / len(scanned.records),
        numbers=_numbers(scanned) if scanned.task == REGRESSION else None,
    )


def _numbers(scanned: Manifest) -> Numbers:
    own = [quantities.value(record) for record in scanned.records]
    return Numbers(min(own), median(own), mean(own), max(own), len(set(own)))


def _spread(values: Sequence[int]) -> Spread:
    return Spread(min(values), median(values), max(values))


def _per_class(counts: Iterable[int]) -> dict[str, float]:
    own = sorted(counts)
    return {"min": own[0], "median": median(own), "mean": mean(own), "max": own[-1]}


def _named(group: Group) -> list[dict[str, str]]:
    return [{"path": r.path, "label": r.label, "split": r.split} for r in group]
