"""`tl compare`, and what `tl train --compare-freeze` and `--compare-scratch` end with."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Json
from tl_cli.cli.session import blocks_of, opened_screen

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.results.plan_comparison import PlanComparison, PlanRow

PICTURE = "comparison.png"


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
        from tl_cli.console.compare import show_runs
        from tl_cli.report import comparison
        from tl_cli.report.figures.runs import comparison_png

        found = comparison.compare(runs)
        picture = comparison_png(found, plot or runs[0] / PICTURE)
        if json:
            print(jsonlib.dumps(found.to_json()))
        else:
            show_runs(screen, found)
        screen.note(f"wrote {picture}")


def show_plans(found: PlanComparison, screen: Screen, json: bool) -> None:
    """Print a row a plan, and draw the runs that they were trained in."""
    from tl_cli.console import compare as console
    from tl_cli.report import comparison
    from tl_cli.report.figures.runs import comparison_png

    runs = comparison.compare([Path(path) for path in dict.fromkeys(r.run for r in found.rows)])
    picture = comparison_png(runs, Path(found.rows[0].run) / PICTURE)
    if json:
        print(jsonlib.dumps(runs.to_json() | found.to_json()))
    else:
        console.show_plans(screen, found)
    screen.note(f"wrote {picture}")


def say_row(screen: Screen, row: PlanRow, json: bool) -> None:
    """Say in a line what a plan came to, as soon as it is known."""
    from tl_cli.console import compare as console

    if not json and not screen.quiet and not screen.verbose:
        screen.settle()
        console.show_row(screen, row)


def name_of(settings: RunConfig) -> str:
    """Return what the plan of a run is called beside others."""
    return "advice" if settings.freeze == "auto" else "asked for"


def is_same(row: PlanRow, settings: RunConfig) -> bool:
    """Return whether a run would have the plan of a row, which then need not be trained again."""
    from tl_cli import catalog
    from tl_cli.results.plan_comparison import same_plan

    if settings.from_scratch:
        return False
    card = catalog.get(settings.backbone, settings.preprocessing)
    return same_plan(row, settings.freeze, blocks_of(card))
