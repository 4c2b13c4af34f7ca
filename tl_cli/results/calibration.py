"""How far a classifier's probabilities can be believed: reliability, and answering only if sure.

Plain Python. Knows nothing of networks: what goes in is how sure each answer was, and whether it
was right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BINS = 15  # as in Guo et al. 2017
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of --min-confidence


@dataclass(frozen=True)
class Bin:
    """The images whose answer was about as sure."""

    n: int
    confidence: float  # mean probability of the answers
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """Expected calibration error, and the bins it comes from (empty ones left out)."""

    ece: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Answered:
    """What is left where answers below a confidence are withheld."""

    min_confidence: float
    coverage: float  # share of the images that are answered
    accuracy: float | None  # of the answers; None where there are none


def reliability(confidence: Sequence[float], right: Sequence[bool]) -> Reliability:
    """Return the expected calibration error, 15 bins of equal width (Guo 2017, arXiv:1706.04599).

    `confidence`: the probability of each answer, 0..1; `right`: whether it was the true class.
    """
    members: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for p, hit in zip(confidence, right, strict=True):
        members[min(int(p * BINS), BINS - 1)].append((float(p), bool(hit)))
    bins = tuple(
        Bin(len(own), sum(p for p, _ in own) / len(own), sum(hit for _, hit in own) / len(own))
        for own in members
        if own
    )
    n = max(len(confidence), 1)
    return Reliability(sum(b.n * abs(b.confidence - b.accuracy) for b in bins) / n, bins)


def coverage(
    confidence: Sequence[float], right: Sequence[bool], levels: Sequence[float] = LEVELS
) -> tuple[Answered, ...]:
    """Return, for each level, how many images are answered and how many answers are right."""
    found = []
    for level in levels:
        hits = [bool(hit) for p, hit in zip(confidence, right, strict=True) if p >= level]
        accuracy = sum(hits) / len(hits) if hits else None
        found.append(Answered(level, len(hits) / max(len(confidence), 1), accuracy))
    return tuple(found)
