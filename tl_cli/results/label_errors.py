"""A training image whose label looks wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from tl_cli import csv_cells

DECISION = "correct_label"  # the column that a person fills in
OUT = "-"  # there: the image is to be left out
NOT = "not "  # where images have several labels: before one that an image does not have


@dataclass(frozen=True)
class LabelError:
    """What it is labelled, and what a head that never saw it takes it for.

    Where images have several labels it is of one of them: `ants` or `not ants`.
    """

    path: str
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return asdict(self)


@dataclass(frozen=True)
class DoubtfulValue:
    """Which number it is labelled with, and which a head says that never saw it."""

    path: str
    label: float
    suggested: float
    deviations: float  # how far apart these are, in robust standard deviations of such errors

    @property
    def spread(self) -> float:
        """One deviation, in the unit of the labels: no digit far below it means anything."""
        return abs((self.suggested - self.label) / self.deviations)

    @property
    def written(self) -> str:
        """The number that it is labelled with, as tables have it."""
        return f"{self.label:.12g}"

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return asdict(self)


Doubted = LabelError | DoubtfulValue


def csv_text(found: Sequence[Doubted]) -> str:
    """Return a table of them, which are of one kind, and at least one.

    With an empty column in which a person decides.
    """
    columns = [field.name for field in fields(found[0])]
    return csv_cells.table((*columns, DECISION), ([*_cells(each), ""] for each in found))


def _cells(doubted: Doubted) -> list[str]:
    if isinstance(doubted, DoubtfulValue):
        numbers = (doubted.label, doubted.suggested)
        return [doubted.path, *map(repr, numbers), f"{doubted.deviations:.2f}"]
    shares = (doubted.label_probability, doubted.suggested_probability)
    return [doubted.path, doubted.label, doubted.suggested, *(f"{share:.4f}" for share in shares)]
