"""`tl inspect RUN --label-errors`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tl_cli.console.screen import Screen
    from tl_cli.results.label_errors import LabelError

PAGE = "label_errors.html"
SHOWN = 10  # on the screen; the page and --json have more


def show_label_errors(run: Path, folder: Path, screen: Screen, json: bool) -> None:
    """List the training images of a run whose label looks wrong, and show them on a page."""
    from tl_cli.store.run_dir import checkpoint_of

    checkpoint = checkpoint_of(run)
    from tl_cli.engine.label_errors import suspected

    images, found = suspected(checkpoint, screen.on_progress)
    page = _page(found, images, folder) if found else None
    if json:
        told = {"run": str(checkpoint.path), "images": images, "page": str(page) if page else None}
        print(jsonlib.dumps(told | {"label_errors": [each.to_json() for each in found]}))
    else:
        _show(found, images, screen)
        if page:
            screen.note(f"wrote {page}")


def _page(found: Sequence[LabelError], images: int, folder: Path) -> Path:
    from tl_cli.errors import TLError
    from tl_cli.report.label_errors import label_errors_html
    from tl_cli.store import own_pages
    from tl_cli.store.marker import make_marked
    from tl_cli.store.run_dir import replacing

    own_pages.check(folder / PAGE)
    try:
        make_marked(folder)
        with replacing(folder / PAGE) as beside:
            beside.write_text(label_errors_html(found, images), encoding="utf-8")
    except OSError as error:
        raise TLError(
            f"cannot write to '{folder}': {error.strerror}", "choose another --output"
        ) from error
    return folder / PAGE


def _show(found: Sequence[LabelError], images: int, screen: Screen) -> None:
    from tl_cli.humanize import count, printable

    if not found:
        screen.out.print(f"No label of {count(images, 'training image')} looks wrong.")
        return
    few = f", the {SHOWN} most doubtful" if len(found) > SHOWN else ""
    screen.out.print(
        f"{len(found):,} of {count(images, 'training image')} may be labelled wrongly{few}:",
        highlight=False,
    )
    for each in found[:SHOWN]:
        screen.out.print(
            f"  {printable(each.path)}: {printable(each.label)} ({each.label_probability:.2f}), "
            f"looks like {printable(each.suggested)} ({each.suggested_probability:.2f})",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
