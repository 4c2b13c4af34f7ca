"""`tl compare`, and what `tl train --compare-scratch` ends with."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Json
from tl_cli.cli.session import opened_screen
from tl_cli.humanize import printable

if TYPE_CHECKING:
    from tl_cli.console.screen import Screen
    from tl_cli.report.comparison import Compared, Comparison, Pair

PICTURE = "comparison.png"
WAYS = {
    "head": "the head",
    "partial": "head and last part",
    "full": "everything",
    "scratch": "from scratch",
}


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, two or more.")],
    plot: Annotated[
        Path | None, typer.Option(help=f"PNG to draw into; in the first run: {PICTURE}.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare finished runs: figures, learning curves, and each pair on the same images."""
    with opened_screen(json=json) as screen:
        if len(runs) < 2:
            raise typer.BadParameter("give two runs or more")
        show(runs, screen, json, plot)


def show(
    runs: list[Path],
    screen: Screen,
    json: bool,
    plot: Path | None = None,
    best: str | None = None,
) -> None:
    """Print the comparison of some runs and draw it. `best`: the one that validation prefers."""
    from tl_cli.report import comparison
    from tl_cli.report.figures.runs import comparison_png

    found = comparison.compare(runs)
    picture = comparison_png(found, plot or runs[0] / PICTURE)
    if json:
        print(jsonlib.dumps(found.to_json() | ({"best": best} if best else {})))
    else:
        _print(found, screen)
        if best:
            told = f"Best on validation, by log loss: {printable(best)}"
            screen.out.print(told, highlight=False, markup=False)
    screen.note(f"wrote {picture}")


def _print(found: Comparison, screen: Screen) -> None:
    cells = [_cells(run) for run in found.runs]
    rows = [(name, [cell[name] for cell in cells]) for name in cells[0]]
    screen.matrix(rows, [run.name for run in found.runs])
    for pair in found.pairs:
        screen.out.print(
            f"{printable(pair.first)} and {printable(pair.second)}: {_verdict(pair)}",
            highlight=False,
            markup=False,
        )


def _cells(run: Compared) -> dict[str, str]:
    low, high = run.intervals["accuracy"]
    trained, memory = run.trained_parameters, run.peak_memory
    return {
        "backbone": run.backbone,
        "trained": WAYS[run.strategy],
        "kept": "head kept" if run.kept == "head" else run.kept,
        "evaluated on": f"{run.n:,} {run.split} images",
        "accuracy": f"{run.figures['accuracy']:.3f}",
        "95 % interval": f"{low:.3f} to {high:.3f}",
        "balanced accuracy": f"{run.figures['balanced_accuracy']:.3f}",
        "log loss": f"{run.figures['log_loss']:.3f}",
        "parameters trained": "?" if trained is None else f"{trained:,}",
        "time": f"{run.seconds:,.0f} s",
        "peak memory": "?" if memory is None else f"{memory / 1e9:.1f} GB",
    }


def _verdict(pair: Pair) -> str:
    if not pair.result:
        return "they were not tested on the same images, so they are not paired"
    result = pair.result
    low, high = result.interval
    return (
        f"{result.difference:+.3f} ({low:+.3f} to {high:+.3f}) on {result.n:,} images in common. "
        f"{result.verdict}"
    )
