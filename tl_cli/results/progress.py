"""What a run reports while it runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far a stage is: `done` of `total` units, and what is known by now."""

    stage: str
    done: int
    total: int
    unit: str = "images"
    facts: Mapping[str, float] = field(default_factory=dict)
    epoch: Mapping[str, float] | None = None  # the line of history.csv that an epoch ends with


@dataclass(frozen=True)
class Note:
    """Something worth one line to the user; `warning` where they may want to act on it."""

    text: str
    warning: bool = False


OnProgress = Callable[[Progress | Note], None]


def silent(_: Progress | Note) -> None:
    """Report nothing."""
