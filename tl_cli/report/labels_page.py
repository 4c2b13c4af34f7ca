"""The page of a run that gives an image several labels: a table by label in place of the matrix.

Knows what a run wrote down, and nothing of CSS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tl_cli.report.facts import RunFacts

FEW = 100  # images; with fewer, each one is a point and more
MOST_LABELS = 60  # rows of the table


def caveats(facts: RunFacts) -> Iterator[str]:
    """Yield what a careful person adds to the headline, the gravest first."""
    figures = facts.figures
    if not figures["learnt"]:
        yield "That is no surer than guessing: do the labels say what the images show?"
    if figures["n"] < FEW:
        yield f"Only {figures['n']:,} images were asked about: more would make the figure surer."
    absent = [row["name"] for row in figures["per_class"] if row["average_precision"] is None]
    if absent:
        yield (
            "Of these labels there is nothing to measure by, for no image here has them, or all "
            f"have: {', '.join(absent[:5])}{' and others' if len(absent) > 5 else ''}."
        )
    if facts.split == "val" and (facts.tune or facts.told.get("scratch")):
        yield (
            "The validation images also chose what is kept, and from which probability on a label "
            "is said: their figures are a little too good."
        )


def by_label(figures: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the figures by label, the least well found first."""
    rows = [row for row in figures["per_class"] if row["support"]]
    rows.sort(key=lambda row: (row["average_precision"] or 0.0, row["name"]))
    return rows[:MOST_LABELS]
