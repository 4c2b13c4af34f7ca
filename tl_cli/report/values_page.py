"""The page of a run that predicts a number: said against right in place of the matrix.

Knows what a run wrote down, and nothing of CSS.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tl_cli.data import quantities
from tl_cli.data.manifest import SPLITS, Manifest, Record
from tl_cli.humanize import short
from tl_cli.report import images
from tl_cli.report.facts import RunFacts
from tl_cli.report.figures import values as figures
from tl_cli.report.figures.dataset import evenly
from tl_cli.report.figures.svg import svg
from tl_cli.results.regression import said

FEW = 100  # images; with fewer, each one moves the figure
WORST = 6  # images shown
ROWS, A_ROW = 4, 6  # of the sample grid


@dataclass(frozen=True)
class Off:
    """An image whose number was far off."""

    file: str
    picture: str
    value: str
    predicted: str


def caveats(facts: RunFacts) -> Iterator[str]:
    """Yield what a careful person adds to the headline, the gravest first."""
    found = facts.figures
    if not found["learnt"]:
        yield (
            "That is not surely better than always guessing the median: do the numbers say what "
            "the images show?"
        )
    if found["n"] < FEW:
        yield f"Only {found['n']:,} images were asked about: more would make the figure surer."
    if not found["interval"]:
        yield "Too few images were held out to say how far a single number may be off."


def context(facts: RunFacts) -> dict[str, Any]:
    """Return what the page of a number shows beside what every page shows."""
    interval = facts.figures["interval"]
    radius = interval["radius"] if interval else None
    records = {split: facts.manifest.of(split) for split in SPLITS}
    by_split = {split: [quantities.value(r) for r in own] for split, own in records.items()}
    charts = {"spread": svg(figures.spread, by_split)}
    if facts.values:
        charts["scatter"] = svg(figures.scatter, facts.values_of_split, radius)
        charts["residuals"] = svg(figures.residuals, facts.values_of_split)
    return {
        "caveats": list(caveats(facts)),
        "charts": charts,
        "worst": _worst(facts),
        "doubts": shlex.join(["tl", "inspect", str(facts.place), "--label-errors"]),
        "value_samples": _samples(facts.manifest),
        "ends_said": [said(end) for end in facts.figures["range"]],
    }


def _worst(facts: RunFacts) -> list[Off]:
    """Return the images whose numbers are the furthest off, the worst first."""
    records = {record.path: record for record in facts.manifest.records}
    ranked = sorted(facts.values_of_split, key=lambda each: -abs(each.error))[:WORST]
    spread = facts.figures["mae"] or None
    return [
        Off(
            short(each.path).strip("'\""),
            images.picture(records.get(each.path, Record(each.path, "")), images.LARGE),
            f"{each.value:g}",
            said(each.predicted, spread),
        )
        for each in ranked
    ]


def _samples(manifest: Manifest) -> tuple[images.Samples, ...]:
    """Return rows of pictures, from the least number to the greatest."""
    order = sorted(manifest.records, key=quantities.value)
    size = -(-len(order) // ROWS)
    rows = []
    for start in range(0, len(order), size):
        own = order[start : start + size]
        name = f"{quantities.value(own[0]):g} to {quantities.value(own[-1]):g}"
        pictures = (images.picture(record) for record in evenly(own, A_ROW))
        rows.append(images.Samples(name, len(own), tuple(p for p in pictures if p)))
    return tuple(rows)
