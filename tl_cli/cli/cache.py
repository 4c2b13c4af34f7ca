"""`tl cache`."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli.cli.options import Json
from tl_cli.cli.session import opened_screen
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.store.cache import Entry

UNITS = {"": 1, "b": 1}
UNITS |= {f"{p}{b}": 1000**i for i, p in enumerate("kmgt", 1) for b in ("", "b")}
UNITS |= {f"{p}ib": 1024**i for i, p in enumerate("kmgt", 1)}


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove everything that no run is writing.")
    ] = False,
    max_size: Annotated[
        str | None, typer.Option(help="Remove the least recently used beyond so much, e.g. 5GB.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """List what is kept between runs, or make room; whatever is removed is computed again."""
    with opened_screen(json=json) as screen:
        if clear and max_size is not None:
            raise typer.BadParameter("give --clear or --max-size, not both")
        if dry_run and not clear and max_size is None:
            raise typer.BadParameter("--dry-run goes with --clear or --max-size")
        limit = None if max_size is None else _bytes(max_size)
        with _told():
            chosen, freed, state = _kept(clear, limit, dry_run)
        if json:
            print(jsonlib.dumps(_as_json(chosen, freed, **state)))
            return
        from tl_cli.console.cache import show_cache, show_to_remove
        from tl_cli.humanize import size

        if dry_run:
            show_to_remove(screen, chosen)
            return
        if freed is not None:
            screen.out.print(f"freed {size(freed)}", highlight=False)
        if clear and state["entries"]:
            screen.note("what is left is being written by a run, or may not be removed")
        show_cache(screen, **state)


@contextmanager
def _told() -> Iterator[None]:
    from tl_cli.store.cache_folder import reason

    try:
        yield
    except OSError as error:
        raise TLError(
            f"the cache cannot be used: {reason(error)}",
            "name another folder in the environment variable TL_CACHE",
        ) from error


def _kept(
    clear: bool, limit: int | None, dry_run: bool
) -> tuple[list[Entry], int | None, dict[str, Any]]:
    """Make room as asked, or see what that would remove.

    Return what would go, the bytes freed where that was asked for, and what the cache then holds.
    """
    from tl_cli.store import cache as kept
    from tl_cli.store import cache_folder

    limit = kept.EVERYTHING if clear else limit
    chosen = kept.to_evict(limit) if limit is not None and dry_run else []
    freed = kept.evict(limit) if limit is not None and not dry_run else None
    root = cache_folder.folder()
    state = {
        "place": str(root),
        "entries": kept.entries(),
        "bound": kept.bound(),
        "strangers": [str(path.relative_to(root)) for path in kept.strangers()],
    }
    return chosen, freed, state


def _as_json(
    chosen: list[Entry],
    freed: int | None,
    place: str,
    entries: list[Entry],
    bound: int,
    strangers: list[str],
) -> dict[str, Any]:
    return {
        "folder": place,
        "entries": [_entry_json(entry) for entry in entries],
        "bytes": sum(entry.bytes for entry in entries),
        "bound": bound,
        "freed": freed,
        "would_remove": [_entry_json(entry) for entry in chosen],
        "not_ours": strangers,
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "key": entry.key,
        "bytes": entry.bytes,
        "used": entry.used,
        "network": entry.about.network or None,
        "data": list(entry.about.data),
    }


def _bytes(text: str) -> int:
    """Return the bytes that ``5GB``, ``1.5 MiB`` or ``800`` name."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if not found or found[2].lower() not in UNITS:
        raise typer.BadParameter(f"'{text}' is no size: give one such as 500MB, 5GB or 1.5GiB")
    return int(float(found[1]) * UNITS[found[2].lower()])
