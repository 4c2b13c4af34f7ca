"""A training image whose label looks wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tl_cli import csv_cells

COLUMNS = ("path", "label", "suggested", "label_probability", "suggested_probability")
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


def csv_text(found: Sequence[LabelError], *, decided: bool = True) -> str:
    """Return a table of them. `decided`: with an empty column in which a person decides."""
    rows = (
        (each.path, each.label, each.suggested,
         f"{each.label_probability:.4f}", f"{each.suggested_probability:.4f}", *[""] * decided)
        for each in found
    )  # fmt: skip
    return csv_cells.table((*COLUMNS, *[DECISION] * decided), rows)
