"""What is said of a network that predicts a number, by `tl train` and `tl evaluate`.

Knows what the figures mean, and nothing of how they were found.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tl_cli.console.caveats import of_images
from tl_cli.console.layout import paragraph, table, whole
from tl_cli.console.screen import Screen, safe
from tl_cli.console.slices import show_slices
from tl_cli.data.duplicates import trained_on_too
from tl_cli.data.manifest import Manifest
from tl_cli.humanize import count, percent, typed
from tl_cli.results.evaluation import Sliced
from tl_cli.results.intervals import Interval
from tl_cli.results.regression import RegressionEvaluation, said

KEPT_OUT = {
    "test": " it has never seen",
    "val": " kept out of the training",
}


def show_headline(screen: Screen, found: RegressionEvaluation) -> None:
    """Say in one sentence how near the numbers come."""
    mark, colour = ("✔", "green") if found.learnt else ("✘", "red")
    ends = found.intervals["mae"]
    sure = f"; 95 %: {said(ends[0])} to {said(ends[1])}" if ends else ""
    screen.paragraph(
        f"[bold]Predicts `{safe(found.quantity)}` to within {said(found.mae)}[/] on average, on "
        f"{count(found.n, 'image')}{KEPT_OUT.get(found.split, '')} (mean absolute error{sure}; "
        f"always guessing the median: {said(found.guessing_mae)}).",
        first=f"[bold {colour}]{mark}[/] ",
    )
    if found.interval:
        screen.paragraph(promise(found), first="  ")


def promise(found: RegressionEvaluation) -> str:
    """Return how far a value may be off, as a sentence; "" where that is not known."""
    if not found.interval:
        return ""
    share = percent(found.interval.coverage)
    held = count(found.interval.held_out, "image")
    here = "" if found.covered is None else f"; here for {percent(found.covered, 1)}"
    return (
        f"For {share} of images the right number is within ± {said(found.interval.radius)} of the "
        f"one said (by {held} that were held out{here})."
    )


def show_evaluation(
    screen: Screen, found: RegressionEvaluation, run: Path, sliced: Sliced | None = None
) -> None:
    """Show all of it. `run`: whose directory it is; `sliced`: by the values of a column."""
    show_headline(screen, found)
    screen.out.print()
    show_figures(screen, found)
    if sliced:
        show_slices(screen, sliced)
    screen.out.print()
    command = f"{typed('tl', 'predict', run)} IMAGES --output values.csv"
    paragraph(screen, f"Next, the numbers of other images: {whole(command)}")


def show_figures(screen: Screen, found: RegressionEvaluation) -> None:
    """Show the figures with their intervals."""
    paragraph(screen, f"{found.split} ({count(found.n, 'image')})", style="bold")
    rows = [
        ("mean absolute error", said(found.mae), _interval(found.intervals["mae"])),
        ("  of guessing the median", said(found.guessing_mae), ""),
        ("root mean squared error", said(found.rmse), _interval(found.intervals["rmse"])),
        ("  of guessing the mean", said(found.guessing_rmse), ""),
        ("R2, share of the variance", _share(found.r2), _shares(found.intervals["r2"])),
        ("rank correlation (Spearman)", _share(found.spearman),
         _shares(found.intervals["spearman"])),
    ]  # fmt: skip
    table(screen, ("", "value", "95 % interval"), rows)


def caveats(found: RegressionEvaluation, manifest: Manifest) -> Iterator[str]:
    """Yield what a careful person would add to the headline."""
    if not found.learnt:
        yield (
            "That is not surely better than always guessing the median, so nothing was learned "
            "that shows. Do the numbers say what the images show? tl inspect DATA --plots"
        )
    yield from of_images(found.n, trained_on_too(manifest, found.split))
    if not found.interval:
        yield "Too few images were held out to say how far a single number may be off."


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _shares(ends: Interval | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""


def _interval(ends: Interval | None) -> str:
    return f"{said(ends[0])} to {said(ends[1])}" if ends else ""
