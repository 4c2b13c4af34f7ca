"""`tl runs`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from tl_cli.cli.options import Json, Quiet
from tl_cli.cli.session import opened_screen

RUNS = Path("runs")


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help=f"Folder to look in and below.  [default: {RUNS}]"),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the runs below a folder: data, plan, accuracy, and how to go on with unfinished ones."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli.console.runs import show_runs
        from tl_cli.errors import TLError
        from tl_cli.store.runs import listed

        place = folder or RUNS
        if folder and not folder.is_dir():
            what = "no folder" if folder.exists() else "not there"
            raise TLError(f"'{folder}' is {what}", "give the folder that the runs lie in")
        lines = listed(place) if place.is_dir() else []
        if json:
            told = {"folder": str(place), "runs": [each.to_json() for each in lines]}
            print(jsonlib.dumps(told))
        else:
            show_runs(screen, lines, str(place))
