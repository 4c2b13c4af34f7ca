"""`tl explain`."""

from __future__ import annotations

import json as jsonlib
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Json, Quiet
from tl_cli.cli.predict import tell_left_out
from tl_cli.cli.session import opened_screen
from tl_cli.store.marker import make_marked

if TYPE_CHECKING:
    from tl_cli.console.screen import Screen
    from tl_cli.engine.explain import Explainer
    from tl_cli.report.explain import Sheet
    from tl_cli.results.explanations import Explanation


def explain(
    checkpoint: Annotated[Path, typer.Argument(help="Run directory, or the checkpoint in it.")],
    paths: Annotated[
        list[str],
        typer.Argument(help="Images, folders, 'patterns', lists (.txt, .csv), or - for stdin."),
    ],
    at: Annotated[
        str | None,
        typer.Option(help="Block whose output is looked at; the last. See `tl blocks`."),
    ] = None,
    class_: Annotated[
        str | None, typer.Option("--class", help="To explain; else what the image is taken for.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=0, help="Most similar training images shown beside each.")
    ] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the pictures; RUN/explain.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show where in an image the evidence for its class lies, and what it resembles."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli.data.sources.inputs import named_images
        from tl_cli.store import run_dir

        run = run_dir.checkpoint_of(checkpoint)
        left_out: Counter[str] = Counter()
        inputs = named_images(paths, sys.stdin, left_out)
        tell_left_out(left_out, screen)
        from tl_cli.engine import explain as engine
        from tl_cli.engine.features import neighbours as alike

        explainer = engine.load(run, at)
        nearest = (
            alike.load(run, explainer.classifier.backbone, screen.on_progress)
            if neighbours
            else None
        )
        found = engine.explained(
            explainer, inputs, name=class_, nearest=nearest, neighbours=neighbours
        )
        folder = output or run / run_dir.EXPLANATIONS
        sheet = _drawn(found, len(inputs), folder, explainer, screen, json)
        if json:
            block = explainer.block
            told = {"at": block.name, "map": list(block.output_shape[:2]), "images": sheet.told}
            print(jsonlib.dumps(told | {"failed": sheet.failed, "sheet": str(sheet.page)}))
        else:
            screen.note(f"wrote {sheet.page}, and a picture of each image beside it")
        if sheet.failed:
            raise typer.Exit(1)


def _drawn(
    found: Iterator[Explanation],
    total: int,
    output: Path,
    explainer: Explainer,
    screen: Screen,
    json: bool,
) -> Sheet:
    """Draw each explanation as it comes, with a line or progress on the screen, then the page."""
    from tl_cli.console.predict import explained
    from tl_cli.data.manifest import REGRESSION
    from tl_cli.report.explain import SHEET, Sheet
    from tl_cli.results.progress import Progress
    from tl_cli.store import own_pages
    from tl_cli.store.output import writing_to

    height, width = explainer.block.output_shape[:2]
    where = f"Seen after {explainer.block.name}, in {height} x {width} places."
    own_pages.check(output / SHEET)
    with writing_to(f"'{output}'"):
        make_marked(output)
        sheet = Sheet(output, where, number=explainer.classifier.task == REGRESSION)
        with _closed(sheet, total, screen):
            for each in found:
                each = sheet.add(each)
                if json:
                    screen.on_progress(Progress("explain", len(sheet.told), total))
                else:
                    explained(screen, each)
    return sheet


@contextmanager
def _closed(sheet: Sheet, total: int, screen: Screen) -> Iterator[None]:
    """Write the page in any case, of what there is, and say where it was stopped."""
    try:
        yield
    except KeyboardInterrupt:
        screen.settle()
        done = f"{len(sheet.told):,} of {total:,} images"
        screen.note(f"stopped after {done}; {sheet.page} shows them", warning=True)
        raise
    finally:
        sheet.close()
