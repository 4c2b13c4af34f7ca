"""`tl rank`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Channels, Columns, DataDir, Json, Quiet, Task, help_of
from tl_cli.cli.session import manifest_of, opened_screen
from tl_cli.data.manifest import TASKS
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.results.ranking import Candidate


def rank(
    data: Annotated[str, typer.Argument(metavar="SOURCE", help=help_of("data"))],
    among: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Networks, a,b=FILE with weights of your own; auto: all that are here.",
        ),
    ] = None,
    max_minutes: Annotated[
        str | None, typer.Option(metavar="FLOAT", help="Begin no further look after that.")
    ] = None,
    allow_download: Annotated[
        bool,
        typer.Option("--allow-download", help="Fetch those that may do better, and try them too."),
    ] = False,
    image_size: Annotated[
        str | None, typer.Option(metavar="INTEGER", help="Pixels a side; auto: each network's own.")
    ] = None,
    columns: Columns = None,
    task: Task = None,
    channels: Channels = None,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say which pretrained network fits your images best: one look each, on the same images."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli import catalog, config

        offered = [] if among or not allow_download else catalog.worth_fetching()
        here = catalog.at_hand()  # once: what is fetched lies here, too, afterwards
        candidates = candidates_of(among, [*here, *offered])
        flags = {"data": data, "columns": columns, "task": task, "channels": channels}
        flags["data_dir"] = data_dir
        limits = {"max_minutes": max_minutes, "image_size": image_size}
        settings = config.load(flags=flags | limits)
        manifest = manifest_of(settings, screen, TASKS)
        from tl_cli.engine import rank as engine

        if offered:
            here += engine.fetched(offered, screen.on_progress)
            candidates = candidates_of(None, here)
        found = engine.rank(settings, manifest, candidates, screen.on_progress)
        if json:
            print(jsonlib.dumps(found.to_json()))
            return
        from tl_cli.console.rank import show_ranking

        show_ranking(screen, found, data)


def candidates_of(among: str | None, at_hand: Sequence[str]) -> list[Candidate]:
    """Return the networks that `among` names (`a,b=FILE,...`), or else those that are at hand.

    Raises TLError for an unknown name, a missing file, a name given twice, and for fewer than two.
    """
    from tl_cli import catalog
    from tl_cli.results.ranking import Candidate

    found = []
    for part in filter(None, map(str.strip, among.split(",") if among else at_hand)):
        name, _, file = part.partition("=")
        card = catalog.get(name)
        if file and not Path(file).is_file():
            raise TLError(f"the weights file of {name} is not there: {file}", "see its path")
        if not file:
            catalog.require_pretrained(card)
        found.append(Candidate(card.name, file or None))
    if twice := next((c for c in found if found.count(c) > 1), None):
        raise TLError(f"{twice.name} is named twice in --among", "name each network once")
    if len(found) < 2:
        here = found[0].name if found else "no network"
        raise TLError(
            f"there is only {here} to choose from",
            "name others with --among (tl backbones lists them), e.g. "
            "--among efficientnet_lite0,mobilenet_v2",
        )
    return found
