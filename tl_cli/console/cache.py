"""What the cache holds, as a reader sees it. Knows nothing of what keeps it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tl_cli.console.layout import paragraph, table, whole
from tl_cli.console.screen import Screen
from tl_cli.humanize import count, naming, printable, size
from tl_cli.store.cache import Entry
from tl_cli.store.cache_folder import FILE

KEY = 12  # digits of a key; enough to tell entries apart
MOST_DATA = 3  # data sets named of an entry; --json has more
WHAT = {  # a kind of cache entry, in words
    "images": "decoded images",
    "features": "what a backbone made of images",
    "shards": "a share of what a backbone made of images",
    "tfds": "unpacked images",
    FILE: "what was seen in image files of any data",
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
    paragraph(screen, f"{whole(place)}: {held}; at most {size(bound)} are kept")
    if strangers:
        names = naming(map(whole, strangers))
        paragraph(screen, f"never touched, for tl did not make it: {names}")


def show_to_remove(screen: Screen, entries: Sequence[Entry]) -> None:
    """Show what would be removed; nothing was."""
    _show_entries(screen, entries)
    total = sum(entry.bytes for entry in entries)
    if entries:
        entry = count(len(entries), "entry")
        paragraph(screen, f"{entry} would be removed, freeing {size(total)}")
    else:
        paragraph(screen, "nothing would be removed")


def _show_entries(screen: Screen, entries: Sequence[Entry]) -> None:
    if entries:
        now = time.time()
        rows = [(printable(_named(e)), size(e.bytes), _ago(now - e.used)) for e in entries]
        remarks = [_what(e) for e in entries]
        table(screen, ("entry", "size", "last used"), rows, remarks=remarks)
        screen.out.print()


def _what(entry: Entry) -> str:
    """Say what an entry is of: the network, and the data that it was last used for."""
    what = WHAT.get(entry.kind, printable(entry.kind))
    if entry.about.network:
        what = f"features by {printable(entry.about.network)},"
    if entry.about.data:
        what += f" of {naming(map(whole, entry.about.data), MOST_DATA)}"
    return what


def _named(entry: Entry) -> str:
    return entry.key if entry.kind == FILE else f"{entry.kind}/{entry.key[:KEY]}"


def _ago(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        n = int(seconds // length)
        if n:
            return f"{n} {unit}{'s' if n > 1 else ''} ago"
    return "just now"
