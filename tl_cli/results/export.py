"""What an export wrote, and how it was found to be equal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tl_cli.data.manifest import CLASSIFICATION
from tl_cli.results.regression import ConformalInterval

CHECKED_ON = {  # what `Export.checked_on` is, in words
    "val": "validation image",
    "train": "training image",
    "test": "test image",
    "data": "image of --data",
}


@dataclass(frozen=True)
class Equality:
    """How equal an exported network's answers are to those of the network it was made from."""

    images: int
    difference: float  # the greatest one of a probability, or of a number in its own unit
    agreement: float  # share of images with the same most probable class; nearly the same number
    allowed_difference: float | None
    least_agreement: float | None
    number: bool = False  # whether a number is said of an image
    unknown_difference: float | None = None  # the greatest one of a score, in what it is or 1
    allowed_unknown_difference: float | None = None

    @property
    def passed(self) -> bool:
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not pass; none where it does."""
        found = []
        if self.allowed_difference is not None and not self.difference <= self.allowed_difference:
            found.append(
                f"a {'number' if self.number else 'probability'} differs by "
                f"{self.difference:.2g}, and {self.allowed_difference:.2g} "
                "is allowed"
            )
        if self.least_agreement is not None and not self.agreement >= self.least_agreement:
            found.append(
                f"the {'number is nearly' if self.number else 'most probable class is'} the same "
                f"for {self.agreement:.1%} of the images, and "
                f"{self.least_agreement:.0%} is asked for"
            )
        allowed, score = self.allowed_unknown_difference, self.unknown_difference
        if allowed is not None and score is not None and not score <= allowed:
            found.append(
                f"a score for unknown images differs by {score:.2g}, and {allowed:g} is allowed"
            )
        return tuple(found)


@dataclass(frozen=True)
class Export:
    """What `tl export` wrote, and how it was found to be equal."""

    format: str
    quantize: str | None
    path: str
    recipe: str | None  # where it is written how images are opened for it; None if it failed
    card: str | None  # where its model card lies; None if it failed
    usage: str | None  # lines of Python that run it; None if it failed
    bytes: int
    runtime: str  # with its version
    image_size: int
    classes: tuple[str, ...]
    trained_in: str  # precision; exported and compared in float32
    checked_on: str  # the run's split whose images were there, or "data": those of --data
    equality: Equality
    encoded: Equality | None  # of a format that opens image files itself
    milliseconds: Mapping[int, float] | None  # an image, by batch size
    thresholds: tuple[float, ...] = ()  # by class, where an image may have several labels
    outputs: tuple[str, ...] = ("probabilities",)  # names, in order
    unknown_threshold: float | None = None  # of the second output: above it an image is unknown
    unknown_left_out: str | None = None  # why there is none, where the run has it
    task: str = CLASSIFICATION
    interval: ConformalInterval | None = None  # how far a number may be off

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return asdict(self) | {
            "classes": list(self.classes),
            "outputs": list(self.outputs),
            "thresholds": list(self.thresholds) or None,
            "passed": self.equality.passed,
            "reasons": list(self.equality.reasons),
        }
