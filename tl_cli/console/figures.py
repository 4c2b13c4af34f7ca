"""The figures of an evaluation as tables: overall, by class, and what was taken for what.

Knows nothing of how they were found.
"""

from __future__ import annotations

from rich.measure import Measurement
from rich.table import Table

from tl_cli.console.screen import Screen, bare_table, safe
from tl_cli.humanize import count
from tl_cli.results.evaluation import Evaluation, confused

CONFUSION_UP_TO = 20  # classes; a larger matrix is no longer read, so the worst pairs are named
WORST = 10  # pairs


def show_figures(screen: Screen, result: Evaluation, *, details: bool = True) -> None:
    """Show the headline figures with their intervals, then by class, then the confusions."""
    screen.out.print(f"[bold]{result.split}[/] ({count(result.n, 'image')})", highlight=False)
    table = bare_table("", "value", "95 % interval")
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss"):
        found = result.intervals[name]
        interval = f"{found[0]:.3f} to {found[1]:.3f}" if found else ""
        label = name.replace("_", " ").replace("f1", "F1")
        table.add_row(label, f"{getattr(result, name):.3f}", interval)
    if result.top5 is not None:
        table.add_row("top-5 accuracy", f"{result.top5:.3f}", "")
    table.add_row("majority baseline", f"{result.majority_baseline:.3f}", "")
    screen.out.print(table)
    if details:
        _per_class(screen, result)
        _confusion(screen, result)


def _per_class(screen: Screen, result: Evaluation) -> None:
    table = bare_table("class", "precision", "recall", "F1", "images")
    for row in result.per_class:
        figures = (f"{v:.3f}" for v in (row.precision, row.recall, row.f1))
        table.add_row(safe(row.name), *figures, f"{row.support:,}")
    screen.out.print(table)


def _confusion(screen: Screen, result: Evaluation) -> None:
    """Show the matrix, or the worst pairs where it is too wide for the terminal, or to be read."""
    out = screen.out
    if len(result.classes) <= CONFUSION_UP_TO:
        matrix = _matrix(result)
        if Measurement.get(out, out.options.update(width=10_000), matrix).maximum <= out.width:
            out.print(matrix)
            return
    pairs = confused(result.classes, result.confusion, WORST)
    table = bare_table("taken for each other", "images", "of the class")
    for pair in pairs:
        name = f"{safe(pair.true)} taken for {safe(pair.predicted)}"
        table.add_row(name, f"{pair.n:,}", f"{pair.share:.0%}")
    if pairs:
        out.print(table)


def _matrix(result: Evaluation) -> Table:
    table = bare_table("true \\ predicted", *(safe(name) for name in result.classes))
    for i, (name, row) in enumerate(zip(result.classes, result.confusion, strict=True)):
        cells = (
            f"[bold]{n}[/]" if i == j else str(n) if n else "[dim].[/]" for j, n in enumerate(row)
        )
        table.add_row(safe(name), *cells)
    return table
