"""What is said of a classifier that gives an image several labels, by `tl train` and `tl evaluate`.

Knows what the figures mean, and nothing of how they were found.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tl_cli.console.caveats import of_images
from tl_cli.console.layout import paragraph, table, whole
from tl_cli.console.screen import Screen
from tl_cli.console.slices import show_slices
from tl_cli.data.duplicates import trained_on_too
from tl_cli.data.manifest import Manifest
from tl_cli.humanize import count, percent, printable, typed
from tl_cli.results.evaluation import Sliced
from tl_cli.results.intervals import Interval
from tl_cli.results.multilabel import LabelRow, MultilabelEvaluation

FIGURES = {
    "mean_average_precision": "mean average precision",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "subset_accuracy": "all labels right",
    "log_loss": "log loss a label",
}
KEPT_OUT = {
    "test": " it has never seen",
    "val": " kept out of the training",
}


def show_headline(screen: Screen, found: MultilabelEvaluation) -> None:
    """Say in one sentence how well labels are found."""
    good = found.learnt
    mark, colour = ("✔", "green") if good else ("✘", "red")
    images = f"{count(found.n, 'image')}{KEPT_OUT.get(found.split, '')}"
    value = f"{found.mean_average_precision:.3f}"
    beside = [f"guessing gives {found.chance_average_precision:.3f}"]
    if ends := found.intervals["mean_average_precision"]:
        beside.insert(0, f"95 %: {ends[0]:.3f} to {ends[1]:.3f}")
    screen.paragraph(
        f"[bold]Mean average precision {value}[/] on {images} ({'; '.join(beside)}). All labels "
        f"are right for {percent(found.subset_accuracy)} of them.",
        first=f"[bold {colour}]{mark}[/] ",
    )


def show_evaluation(
    screen: Screen, found: MultilabelEvaluation, run: Path, sliced: Sliced | None = None
) -> None:
    """Show all of it. `run`: whose directory it is; `sliced`: by the values of a column."""
    show_headline(screen, found)
    screen.out.print()
    show_figures(screen, found)
    screen.out.print()
    rows = [_row(row) for row in sorted(found.per_class, key=_least_first)]
    head = ("label", "AP", "95 % interval", "precision", "recall", "F1", "from", "images")
    table(screen, head, rows)
    paragraph(
        screen,
        "AP: average precision, of the order that its probabilities put the images in. A label is "
        "said where its probability is at least what stands under `from`.",
    )
    if sliced:
        show_slices(screen, sliced)
    screen.out.print()
    command = f"{typed('tl', 'predict', run)} IMAGES --output labels.csv"
    paragraph(screen, f"Next, what other images show: {whole(command)}")


def show_figures(screen: Screen, found: MultilabelEvaluation) -> None:
    """Show the headline figures with their intervals."""
    paragraph(screen, f"{found.split} ({count(found.n, 'image')})", style="bold")
    rows = [
        (title, f"{getattr(found, name):.3f}", _interval(found.intervals[name]))
        for name, title in FIGURES.items()
    ]
    rows.append(("guessing, average precision", f"{found.chance_average_precision:.3f}", ""))
    table(screen, ("", "value", "95 % interval"), rows)


def caveats(found: MultilabelEvaluation, manifest: Manifest) -> Iterator[str]:
    """Yield what a careful person would add to the headline."""
    if not found.learnt:
        yield (
            "That is no better than guessing, so nothing was learned that shows. Do the labels say "
            "what the images show? tl inspect DATA --plots"
        )
    yield from of_images(found.n, trained_on_too(manifest, found.split))


def _row(row: LabelRow) -> tuple[str, ...]:
    known = row.average_precision is not None
    return (
        printable(row.name),
        f"{row.average_precision:.3f}" if known else "",
        _interval(row.interval),
        f"{row.precision:.3f}",
        f"{row.recall:.3f}",
        f"{row.f1:.3f}",
        f"{row.threshold:.2f}",
        f"{row.support:,}",
    )


def _least_first(row: LabelRow) -> float:
    return 2.0 if row.average_precision is None else row.average_precision


def _interval(ends: Interval | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""
