"""`tl search`."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from tl_cli.cli.options import Json, Quiet
from tl_cli.cli.predict import tell_left_out
from tl_cli.cli.session import opened_screen


def search(
    checkpoint: Annotated[Path, typer.Argument(help="Run directory, or the checkpoint in it.")],
    images: Annotated[
        list[str],
        typer.Argument(help="Images, folders, 'patterns', lists (.txt, .csv), or - for stdin."),
    ],
    top: Annotated[int, typer.Option(min=1, help="Training images shown for each.")] = 10,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the training images that are most alike, as the network sees them."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli.console.search import show_matches
        from tl_cli.data.sources.inputs import named_images
        from tl_cli.results.progress import Progress
        from tl_cli.store import run_dir

        run = run_dir.checkpoint_of(checkpoint)
        left_out: Counter[str] = Counter()
        inputs = named_images(images, sys.stdin, left_out)
        tell_left_out(left_out, screen)
        started = time.perf_counter()
        from tl_cli.engine import search as engine

        nearest = engine.load(run, screen.on_progress)
        told, failed = [], 0
        for each in engine.search(nearest, inputs, top):
            failed += bool(each.error)
            if json:
                told.append(each.to_json())
                screen.on_progress(Progress("search", len(told), len(inputs)))
            else:
                show_matches(screen, each)
        if json:
            among = {"run": str(run.path), "searched": len(nearest.records), "images": told}
            seconds = round(time.perf_counter() - started, 3)
            rest = {"failed": failed, "left_out": dict(+left_out), "seconds": seconds}
            print(jsonlib.dumps(among | rest))
        if failed:
            raise typer.Exit(1)
