"""What a run reports while it runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far a stage is: `done` of `total` units, and what is known by now.

    With a `total` of 0 it begins, and nothing can be counted in it.
    """

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
    needed: bool = False  # by whoever asks for nothing beyond the result, too
    lasting: bool = False  # true from here on: to be kept in sight, where that can be done


def begun(stage: str) -> Progress:
    """Return the event that says that a stage begins."""
    return Progress(stage, 0, 0)


OnProgress = Callable[[Progress | Note], None]


def silent(_: Progress | Note) -> None:
    """Report nothing."""
