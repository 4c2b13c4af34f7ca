"""A figure of each image by the values of a column, where labels are several, or numbers."""

from __future__ import annotations

from tl_cli.console.layout import paragraph, table, whole
from tl_cli.console.screen import Screen
from tl_cli.humanize import printable
from tl_cli.results.evaluation import Sliced
from tl_cli.results.measures import MEASURES


def show_slices(screen: Screen, found: Sliced) -> None:
    """Show a row a value, the worst first."""
    measure = next(each for each in MEASURES.values() if each.key == found.figure)
    rows = [
        (printable(row.value), f"{row.n:,}", measure.write(row.mean),
         " to ".join(map(measure.write, row.interval or ())))
        for row in found.rows
    ]  # fmt: skip
    screen.out.print()
    paragraph(screen, f"By {whole(found.by)}, the worst first", style="bold")
    table(screen, ("", "images", measure.name, "95 % interval"), rows)
