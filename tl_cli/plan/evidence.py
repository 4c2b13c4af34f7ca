"""What one pass over the images told: how far they are from the pretraining data, and of what use.

Pure: what was measured and what it means, not how. Accuracies are cross-validated on the training
images. Knows nothing of networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

CLAIM_FROM = 20  # images a class below which the depths are not compared
JUDGED_FROM = 10  # validation images from which on a gain of tuning can be told from chance

# what a probe's figure may be
ACCURACY, AVERAGE_PRECISION, R2 = "accuracy", "average_precision", "r2"
FIGURES = {
    ACCURACY: "an accuracy",
    AVERAGE_PRECISION: "a mean average precision",
    R2: "a share of the variance",
}

# What the two anchors are called: photographs such as ImageNet's, and handwritten letters.
LIKE_PHOTOS, LIKE_LETTERS = 0.85, 0.30

Anchors = Mapping[int, tuple[float, float]]  # image size -> distance of photos, of letters


@dataclass(frozen=True)
class Probe:
    """A linear classifier solved on one look at the images, judged on held-out folds."""

    tap: str  # the block whose pooled output it looks at, or what else
    accuracy: float  # or what else `Evidence.figure` says
    stderr: float


@dataclass(frozen=True)
class Evidence:
    """What is known of a data set after one pass through a backbone."""

    images: int  # that were looked at
    distance: float | None  # D, nats; None where the backbone has no BatchNorm
    thirds: tuple[float, float, float] | None  # D of the early, middle and late BatchNorms
    similarity: float | None  # S, 0..1; None where D is
    probes: tuple[Probe, ...]  # by depth; the last one is what a plain head looks at
    joined: Probe  # several depths at once
    pixels: Probe  # the bare image in 16 x 16
    estimated: bool = False  # S was read off the anchors of other networks
    figure: str = ACCURACY  # what the probes' figures are: a row of FIGURES

    @property
    def last(self) -> Probe:
        return self.probes[-1]

    @property
    def head_error(self) -> float:
        """The share of images that the better solved head gets wrong; what else it lacks of 1."""
        return 1 - max(self.last.accuracy, self.joined.accuracy)

    @property
    def joined_gain(self) -> float:
        """What several depths joined gain over the last layer, in accuracy."""
        return self.joined.accuracy - self.last.accuracy

    @property
    def best_before(self) -> Probe | None:
        """The best depth before the last one."""
        return max(self.probes[:-1], key=lambda probe: probe.accuracy, default=None)

    @property
    def depth_margin(self) -> float:
        """How much the best depth before the last one beats it, in accuracy."""
        best = self.best_before
        return best.accuracy - self.last.accuracy if best else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return asdict(self) | {"depth_margin": self.depth_margin, "joined_gain": self.joined_gain}

    @classmethod
    def from_json(cls, evidence: Mapping[str, Any]) -> Evidence:
        """Return the evidence that `to_json` wrote."""
        return cls(
            images=evidence["images"],
            distance=evidence["distance"],
            thirds=tuple(evidence["thirds"]) if evidence["thirds"] else None,
            similarity=evidence["similarity"],
            probes=tuple(Probe(**probe) for probe in evidence["probes"]),
            joined=Probe(**evidence["joined"]),
            pixels=Probe(**evidence["pixels"]),
            estimated=evidence.get("estimated", False),
            figure=evidence.get("figure", ACCURACY),
        )


def said(figure: str, value: float) -> str:
    """Say what a probe came to: `an accuracy of 0.912`."""
    return f"{FIGURES[figure]} of {value:.3f}"


def similarity(distance: float, anchors: Anchors, image_size: int) -> float:
    """Return S, 0..1, from D: exponential, through the anchors measured at this image size.

    S is 0.85 at the distance of photographs and 0.30 at that of handwritten letters; between
    calibrated sizes the anchors are interpolated over the logarithm of the size.
    """
    photos, letters = _anchors_at(anchors, image_size)
    steepness = math.log(LIKE_PHOTOS / LIKE_LETTERS) / (letters - photos)
    return min(1.0, LIKE_PHOTOS * math.exp(-steepness * (distance - photos)))


def mean_anchors(measured: Sequence[Anchors]) -> Anchors:
    """Return the mean of the anchors of several networks, for one that was never measured itself.

    At each size of those that were measured at it.
    """
    by_size: dict[int, list[tuple[float, float]]] = {}
    for anchors in measured:
        for size, pair in anchors.items():
            by_size.setdefault(size, []).append(pair)
    return {
        size: (mean(photos for photos, _ in pairs), mean(letters for _, letters in pairs))
        for size, pairs in sorted(by_size.items())
    }


def _anchors_at(anchors: Anchors, image_size: int) -> tuple[float, float]:
    sizes = sorted(anchors)
    below = max((s for s in sizes if s <= image_size), default=sizes[0])
    above = min((s for s in sizes if s >= image_size), default=sizes[-1])
    if below >= above:
        return anchors[above if image_size <= sizes[0] else below]
    part = math.log(image_size / below) / math.log(above / below)
    low, high = anchors[below], anchors[above]
    return tuple(a + part * (b - a) for a, b in zip(low, high, strict=True))  # type: ignore[return-value]
