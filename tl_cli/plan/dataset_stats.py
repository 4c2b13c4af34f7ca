"""What a freeze policy goes by: how many images and classes, how similar, what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from tl_cli.plan.evidence import Evidence

# Similarity of the target data to the pretraining data, 0..1, where it is stated and not measured.
SIMILARITY = {"high": 0.80, "medium": 0.50, "low": 0.20}
ASSUMED = "medium"

TINY, BIG = 400, 10_000  # images, after N_eff
PER_CLASS_CAP = 100  # images a class beyond which more of few classes counts no further


@dataclass(frozen=True)
class DatasetStats:
    """How many training images, of how many classes, how similar, and what one pass told."""

    size: int
    classes: int
    images_per_class: float  # median
    similarity: float
    source: str  # given, assumed, estimated, measured
    evidence: Evidence | None = None
    validation: int | None = None  # images; None where they are not known

    @property
    def effective_size(self) -> int:
        """N_eff = min(N, 100 x median images a class): many classes of few are still few."""
        return int(min(self.size, PER_CLASS_CAP * self.images_per_class))

    @property
    def kind(self) -> str:
        return size_kind(self.effective_size)


def situation(
    size: int,
    classes: int,
    images_per_class: float,
    similarity: str | float | None,
    source: str | None = None,
    evidence: Evidence | None = None,
    validation: int | None = None,
) -> DatasetStats:
    """Return the situation: what was stated goes before what was measured, that before a guess."""
    if isinstance(similarity, str):
        value, origin = SIMILARITY[similarity], "given"
    elif similarity is not None:
        value, origin = similarity, "given"
    elif evidence and evidence.similarity is not None:
        value = evidence.similarity
        origin = "estimated" if evidence.estimated else "measured"
    else:
        value, origin = SIMILARITY[ASSUMED], "assumed"
    return DatasetStats(
        size, classes, images_per_class, value, source or origin, evidence, validation
    )


def size_kind(effective: int) -> str:
    """Name the size: tiny < 400 <= medium < 10,000 <= big."""
    return "tiny" if effective < TINY else "medium" if effective < BIG else "big"


def similarity_kind(similarity: float) -> str:
    """Name the similarity: low < 0.40 <= medium < 0.60 <= high."""
    return "low" if similarity < 0.40 else "medium" if similarity < 0.60 else "high"


def sentences(given: DatasetStats) -> tuple[str, ...]:
    """Say the situation in words, with its numbers."""
    return (_size_sentence(given), _similarity_sentence(given))


def _size_sentence(given: DatasetStats) -> str:
    effective = given.effective_size
    capped = (
        f", counted as {effective:,} because {given.classes} classes of "
        f"{given.images_per_class:g} images leave little to learn each from"
        if effective < given.size
        else ""
    )
    limits = {"tiny": f"under {TINY}", "medium": f"{TINY} to {BIG:,}", "big": f"{BIG:,} or more"}
    return (
        f"{given.size:,} training images in {given.classes} classes{capped}: "
        f"{given.kind} ({limits[given.kind]})."
    )


def _similarity_sentence(given: DatasetStats) -> str:
    seen = given.evidence
    measured = seen.similarity if seen else None
    told = seen is not None and seen.distance is not None
    distance = f": BatchNorm distance {seen.distance:.3f}" if told and seen else ""
    how = {
        "given": "you said so"
        if measured is None
        else f"you said so; measured {measured:.2f}, {similarity_kind(measured)}",
        "assumed": _why_assumed(seen),
        "estimated": f"estimated with anchors of other networks{distance}",
        "measured": f"measured{distance}",
    }[given.source]
    likeness = similarity_kind(given.similarity)
    return f"Similarity to the pretraining data {given.similarity:.2f}, {likeness} ({how})."


def _why_assumed(seen: Evidence | None) -> str:
    if seen:
        return "assumed: a backbone without BatchNorm keeps no memory of its data to measure by"
    return "assumed, not measured: give --data, or --similarity low|medium|high if you know"
