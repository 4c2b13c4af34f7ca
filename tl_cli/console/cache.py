"""What the cache holds, as a reader sees it. Knows nothing of what keeps it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tl_cli.console.screen import Screen, columns, safe, say
from tl_cli.humanize import count, naming, size
from tl_cli.store.cache import Entry
from tl_cli.store.cache_folder import FILE

KEY = 12  # digits of a key; enough to tell entries apart
WHAT = {  # a kind of cache entry, in words
    "images": "decoded images",
    "features": "what a backbone made of images",
    "tfds": "unpacked tfds dataset",
    FILE: "what was seen in image files",
}


def show_cache(
    screen: Screen, place: str, entries: Sequence[Entry], bound: int, strangers: Sequence[str]
) -> None:
    """Show what the cache holds, the least recently used first, and how much it may hold.

    `strangers`: what lies in it that tl did not make.
    """
    _show_entries(screen, entries)
    total = sum(entry.bytes for entry in entries)
    held = f"{count(len(entries), 'entry')}, {size(total)}" if entries else "nothing is cached"
    say(screen, f"{safe(place)}: {held}; at most {size(bound)} are kept")
    if strangers:
        say(screen, f"never touched, for tl did not make it: {safe(naming(strangers))}")


def show_to_remove(screen: Screen, entries: Sequence[Entry]) -> None:
    """Show what would be removed; nothing was."""
    _show_entries(screen, entries)
    total = sum(entry.bytes for entry in entries)
    if entries:
        say(screen, f"{count(len(entries), 'entry')} would be removed, freeing {size(total)}")
    else:
        say(screen, "nothing would be removed")


def _show_entries(screen: Screen, entries: Sequence[Entry]) -> None:
    if entries:
        now = time.time()
        rows = [
            (_named(e), [size(e.bytes), _ago(now - e.used), WHAT.get(e.kind, e.kind)])
            for e in entries
        ]
        screen.out.print(columns(("entry", "size", "last used", "holds"), rows))
        screen.out.print()


def _named(entry: Entry) -> str:
    return entry.key if entry.kind == FILE else f"{entry.kind}/{entry.key[:KEY]}"


def _ago(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        n = int(seconds // length)
        if n:
            return f"{n} {unit}{'s' if n > 1 else ''} ago"
    return "just now"
