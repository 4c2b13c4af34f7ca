"""What comparisons look like on a terminal: runs side by side, and a row a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tl_cli.console.screen import Screen, safe, say
from tl_cli.humanize import duration
from tl_cli.results.measures import Measure, Say
from tl_cli.results.plan_comparison import PlanComparison, PlanRow

if TYPE_CHECKING:
    from tl_cli.report.comparison import Compared, Comparison, Pair

WAYS = {
    "head": "the head",
    "partial": "head and last part",
    "full": "everything",
    "scratch": "from scratch",
}
NOTHING = "-"


def show_runs(screen: Screen, found: Comparison) -> None:
    """Show runs side by side, each pair on the same images, and what follows."""
    cells = [_cells(run) for run in found.runs]
    rows = [(name, [cell[name] for cell in cells]) for name in cells[0]]
    rows = [(name, told) for name, told in rows if any(told)]
    screen.matrix(rows, [run.name for run in found.runs])
    for pair in found.pairs:
        say(screen, f"{safe(pair.first)} and {safe(pair.second)}: {_verdict(pair, found.measure)}")
    say(screen, safe(found.told))


def show_plans(screen: Screen, found: PlanComparison) -> None:
    """Show a row a plan: what it trained did on validation, was it kept, how long it took."""
    best = found.best
    header = ("frozen", "accuracy", "log loss", "on test", "kept", "time", "")
    screen.matrix([(row.name, _plan(row, best)) for row in found.rows], header)
    say(
        screen,
        "Accuracy and log loss are of what each plan trained, on the same validation images, kept "
        "or not; time is without the pass that all share.",
    )
    say(screen, safe(found.told))


def show_row(screen: Screen, row: PlanRow) -> None:
    """Say in a line what a plan came to."""
    if row.same_as:
        told = f"the same plan as {row.same_as}"
    elif row.accuracy is None:
        told = f"came to nothing; {duration(row.seconds)}"
    else:
        told = f"{_share(row.accuracy)} on validation; {duration(row.seconds)}"
    screen.paragraph(f"[bold]{safe(row.name)}:[/] {safe(told)}", rest="  ")


def _plan(row: PlanRow, best: PlanRow) -> Sequence[str]:
    frozen = NOTHING if row.strategy == "scratch" else f"{row.freeze_ratio:.0%}"
    if row.same_as:
        return (frozen, "", "", "", "", "", f"the same plan as {row.same_as}")
    return (
        frozen,
        _share(row.accuracy),
        NOTHING if row.log_loss is None else f"{row.log_loss:.3f}",
        _share(row.test_accuracy),
        "yes" if row.kept else "no",
        duration(row.seconds),
        "best" if row is best else "",
    )


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def _cells(run: Compared) -> dict[str, str]:
    measure, memory = run.measure, run.peak_memory
    trained = run.trained_parameters
    return {
        "backbone": run.backbone,
        "trained": WAYS[run.strategy],
        "kept": "head kept" if run.kept == "head" else run.kept,
        "evaluated on": f"{run.n:,} {run.split} images",
        measure.name: measure.write(run.figure),
        "95 % interval": " to ".join(map(measure.write, run.interval)),
        **{name: _written(run.figures[key], write) for key, name, write in measure.others},
        "parameters trained": "?" if trained is None else f"{trained:,}",
        "time": f"{run.seconds:,.0f} s",
        "peak memory": "?" if memory is None else f"{memory / 1e9:.1f} GB",
    }


def _written(value: float | None, write: Say) -> str:
    return NOTHING if value is None else write(value)


def _verdict(pair: Pair, measure: Measure) -> str:
    if not pair.result:
        return "they were not tested on the same images, so they are not paired"
    result = pair.result
    apart, low, high = map(measure.apart, (result.difference, *result.interval))
    return f"{apart} ({low} to {high}) on {result.n:,} images in common. {result.verdict}"
