"""`tl suggest`."""

from __future__ import annotations

import json as jsonlib
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.embed import embedder_of, readable, source_of
from tl_cli.cli.options import Json, Quiet
from tl_cli.cli.predict import tell_left_out
from tl_cli.cli.session import opened_screen

if TYPE_CHECKING:
    from tl_cli.catalog import Card
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Record
    from tl_cli.results.suggestions import Suggestion, Suggestions
    from tl_cli.store.run_dir import RunDir

OUTPUT = Path("suggestions.csv")
SHEET = ".png"


def suggest(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BACKBONE", help="A run; a name from `tl backbones` for a first round."
        ),
    ],
    pool: Annotated[
        list[str],
        typer.Argument(help="Images without labels: folders, 'patterns', lists (.txt, .csv), -."),
    ],
    count: Annotated[int, typer.Option(min=1, help="Images to label.")] = 50,
    output: Annotated[
        Path, typer.Option(help="FILE.csv; beside it FILE.png shows the images.")
    ] = OUTPUT,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    image_size: Annotated[
        int | None,
        typer.Option(min=32, max=1024, help="Pixels, of a BACKBONE; its own if not given."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Name the images of a pool whose labels would teach most, as a table and a contact sheet."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli.console.suggest import show_suggestions
        from tl_cli.data.sources.inputs import named_images
        from tl_cli.results.suggestions import Suggestions

        of = source_of(source, image_size)
        left_out: Counter[str] = Counter()
        inputs = named_images(pool, sys.stdin, left_out)
        _check(output, overwrite)
        tell_left_out(left_out, screen)
        named, bad = readable(inputs, screen)
        records, known, repeated = _new(named, of, screen)
        chosen = _chosen(of, records, count, image_size, screen)
        result = Suggestions(source, len(records), chosen, known, repeated, bad)
        sheet = _write(result, output)
        if json:
            files = {"output": str(output), "sheet": str(sheet), "left_out": dict(+left_out)}
            print(jsonlib.dumps(result.to_json(files)))
        else:
            show_suggestions(screen, result)
            screen.note(f"wrote {output}, and the images in {sheet}")
        if bad:
            raise typer.Exit(1)


def _check(output: Path, overwrite: bool) -> None:
    """Raise TLError where the table and the sheet cannot be written; make their folder."""
    from tl_cli.errors import TLError
    from tl_cli.store.output import check_free, make_writable

    if output.suffix.lower() != ".csv":
        raise TLError(f"the table is CSV, and --output is '{output}'", "end it with .csv")
    for place in (output, output.with_suffix(SHEET)):
        check_free(place, overwrite=overwrite)
    make_writable(output.parent)


def _new(
    records: Sequence[Record], of: RunDir | Card, screen: Screen
) -> tuple[list[Record], int, int]:
    """Return each content once, without what the run has; how many it has, and how many copies."""
    from tl_cli.errors import TLError
    from tl_cli.humanize import count
    from tl_cli.results.progress import Note
    from tl_cli.store.run_dir import RunDir

    known = _digests(of) if isinstance(of, RunDir) else frozenset()
    others = [record for record in records if record.digest not in known]
    once = list({record.digest: record for record in reversed(others)}.values())[::-1]
    has, copies = len(records) - len(others), len(others) - len(once)
    if not once:
        raise TLError(
            f"the run has all of the {count(len(records), 'image')} already",
            "give images that it was not trained or tested on",
        )
    if has:
        screen.on_progress(Note(f"left out {count(has, 'image')} that the run has already"))
    if copies:
        screen.on_progress(Note(f"left out {copies:,} that are the same as others"))
    return once, has, copies


def _digests(run: RunDir) -> frozenset[str]:
    """Return the digests of a run's own images; none where its manifest is gone."""
    from tl_cli.data.csv_io import read_csv
    from tl_cli.errors import TLError
    from tl_cli.store import run_dir

    try:
        return frozenset(record.digest for record in read_csv(run / run_dir.MANIFEST).records)
    except (TLError, OSError):
        return frozenset()


def _chosen(
    of: RunDir | Card, records: Sequence[Record], most: int, size: int | None, screen: Screen
) -> list[Suggestion]:
    from tl_cli.catalog import Card
    from tl_cli.engine import suggest as engine

    if isinstance(of, Card):
        embedder = embedder_of(of, size, records)
        return engine.of_backbone(embedder, records, most, screen.on_progress)
    return engine.of_run(of, records, most, screen.on_progress)


def _write(result: Suggestions, output: Path) -> Path:
    """Write the table and the contact sheet, each whole or not at all; return the sheet."""
    from tl_cli.report.figures.suggestions import contact_sheet
    from tl_cli.store.run_dir import replacing

    with replacing(output) as beside:
        beside.write_text(result.csv_text(), encoding="utf-8", errors="surrogateescape", newline="")
    return contact_sheet(result.chosen, output.with_suffix(SHEET))
