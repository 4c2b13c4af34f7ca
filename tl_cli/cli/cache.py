"""`tl cache`."""

from __future__ import annotations

import json as jsonlib
import re
from typing import Annotated, Any

import typer

from tl_cli.cli.options import Json
from tl_cli.cli.session import opened_screen
from tl_cli.errors import TLError

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
    json: Json = False,
) -> None:
    """List what is kept between runs, or make room; whatever is removed is computed again."""
    with opened_screen(json=json) as screen:
        if clear and max_size is not None:
            raise typer.BadParameter("give --clear or --max-size, not both")
        limit = None if max_size is None else _bytes(max_size)
        freed, state = _kept(clear, limit)
        if json:
            print(jsonlib.dumps(_as_json(freed, **state)))
            return
        from tl_cli.console.cache import show_cache
        from tl_cli.humanize import size

        if freed is not None:
            screen.out.print(f"freed {size(freed)}", highlight=False)
        show_cache(screen, **state)


def _kept(clear: bool, limit: int | None) -> tuple[int | None, dict[str, Any]]:
    """Make room as asked; return the bytes freed, if asked to, and what the cache then holds."""
    from tl_cli.store import cache as kept

    try:
        freed = kept.clear() if clear else None if limit is None else kept.evict(limit)
        state = {"place": str(kept.folder()), "entries": kept.entries(), "bound": kept.bound()}
    except OSError as error:
        raise TLError(
            f"the cache cannot be used: {error.strerror}: '{error.filename}'",
            "name another folder in the environment variable TL_CACHE",
        ) from error
    return freed, state


def _as_json(freed: int | None, place: str, entries: list[Any], bound: int) -> dict[str, Any]:
    return {
        "folder": place,
        "entries": [
            {
                "kind": entry.kind,
                "key": entry.key,
                "bytes": entry.bytes,
                "used": entry.used,
            }
            for entry in entries
        ],
        "bytes": sum(entry.bytes for entry in entries),
        "bound": bound,
        "freed": freed,
    }


def _bytes(text: str) -> int:
    """Return the bytes that ``5GB``, ``1.5 MiB`` or ``800`` name."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if not found or found[2].lower() not in UNITS:
        raise typer.BadParameter(f"'{text}' is no size: give one such as 500MB, 5GB or 1.5GiB")
    return int(float(found[1]) * UNITS[found[2].lower()])
