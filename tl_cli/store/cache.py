"""What is kept between runs: scans, image stores, features; bounded, and safe to share.

An entry is a folder `kind/key/`, such as a table that grows (see rows.py), or a file beside the
kinds, which keeps itself whole: an entry of the kind "file". Whoever writes to a folder holds its
lock, and what is locked is never removed; nor is anything that tl did not make (cache_folder.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tl_cli.store import about_entry, cache_folder, locks
from tl_cli.store.about_entry import NOTHING, About
from tl_cli.store.cache_folder import FILE, FILES, KINDS, MARKER, REMOVING, SYSTEM, folder

MAX_BYTES = 20_000_000_000
MAX_SHARE_OF_FREE_DISK = 0.2

# What several machines have made together stays until somebody asks for room, for one of them
# cannot tell what the others still need; and so do copies of what lies elsewhere, which a run reads
# to its end. They count as nothing in the bound.
STAYS = ("shards", "cloud")
EVERYTHING = -1  # a bound that not even entries of no bytes keep to
NAME_BYTES = 8
NAME = re.compile(f"[0-9a-f]{{{2 * NAME_BYTES}}}")  # of what is being removed


@dataclass(frozen=True)
class Entry:
    """A folder or file of the cache: its size in bytes, when it was last used (seconds, Unix)."""

    kind: str
    key: str
    path: Path
    bytes: int
    used: float
    about: About = NOTHING


def entries() -> list[Entry]:
    """Return what tl keeps in the cache, the least recently used first. Raises OSError."""
    listing = [_entry(path) for path in _named()]
    return sorted((e for e in listing if e), key=lambda e: (e.used, e.kind, e.key))


def strangers() -> list[Path]:
    """Return what lies in the cache folder and is not tl's: it is never touched."""
    root = folder()
    known = {MARKER, REMOVING, *KINDS}
    beside = [path for path in root.iterdir() if path.name not in known or path.is_symlink()]
    below = [path for path in _named() if path.parent != root]
    return sorted(path for path in (*beside, *below) if _is_strange(path))


def _is_strange(path: Path) -> bool:
    if SYSTEM.fullmatch(path.name) or path.suffix == ".lock":
        return False
    try:
        return _contents(path) is None
    except OSError:  # nobody knows
        return False


def bound() -> int:
    """Return the bytes the cache may hold: 20 GB or 20 % of the disk that it could have.

    Raises OSError where there is no cache.
    """
    free = shutil.disk_usage(folder()).free
    free += sum(e.bytes for e in entries() if e.kind not in STAYS)
    return min(MAX_BYTES, int(MAX_SHARE_OF_FREE_DISK * free))


def to_evict(max_bytes: int | None = None, keep: Collection[Path] = ()) -> list[Entry]:
    """Return the least recently used entries, without which at most max_bytes remain.

    `max_bytes`: None for `bound()`, and then what STAYS does. `keep`: entry folders that stay.
    """
    limit = bound() if max_bytes is None else max_bytes
    # files last: small, and they do not note that they are read
    listing = sorted(entries(), key=lambda e: e.kind == FILE)
    if max_bytes is None:
        listing = [entry for entry in listing if entry.kind not in STAYS]
    total, chosen = sum(e.bytes for e in listing), []
    for entry in listing:
        if total > limit and entry.path not in keep:
            chosen.append(entry)
            total -= entry.bytes
    return chosen


def evict(max_bytes: int | None = None, keep: Collection[Path] = ()) -> int:
    """Remove the least recently used entries, as `to_evict`; return the bytes freed.

    What a process is writing stays: something younger may then go for it. Raises OSError.
    """
    freed = _sweep()
    stay = set(keep)
    while chosen := to_evict(max_bytes, stay):
        for entry in chosen:
            if remove(entry.path):
                freed += entry.bytes
            else:
                stay.add(entry.path)
    return freed


def tidy(keep: Collection[Path] = ()) -> None:
    """Hold the cache to its bound, as far as that can be done."""
    with contextlib.suppress(OSError):
        evict(keep=keep)


def clear() -> int:
    """Remove all entries that no process is writing; return the bytes freed. Raises OSError."""
    return evict(EVERYTHING)


def remove(path: Path) -> bool:
    """Remove an entry unless somebody is writing it; nothing half-removed is ever seen.

    Who has mapped its files can go on reading them. What is no entry is left alone.
    """
    try:
        with locks.held_to_remove(path):
            listing = _contents(path)
            if listing is None:
                return False
            gone = _removing() / os.urandom(NAME_BYTES).hex()
            path.rename(gone)
            _delete(gone / file.relative_to(path) for file in listing)
    except OSError:
        return False
    return True


def _removing() -> Path:
    place = folder() / REMOVING
    place.mkdir(exist_ok=True)
    if place.is_symlink():
        raise cache_folder.RefusedFolder(place, "it is a link")
    return place


def _delete(listing: Iterable[Path]) -> None:
    """Remove these files and folders, each folder if nothing else came into it."""
    for path in sorted(listing, reverse=True):  # what is in a folder before it
        with contextlib.suppress(OSError):
            path.unlink() if not path.is_dir() or path.is_symlink() else path.rmdir()


def _sweep() -> int:
    """Remove what processes that died were removing; return the bytes freed."""
    place, freed = folder() / REMOVING, 0
    if place.is_symlink() or not place.is_dir():
        return 0
    for path in place.iterdir():
        with contextlib.suppress(OSError):
            if listing := _half_removed(path):
                freed += _size(listing)
                _delete(listing)
    return freed


def _half_removed(path: Path) -> list[Path] | None:
    if path.is_symlink() or not path.is_dir():
        return [path] if NAME.fullmatch(path.name) else None
    listings = (cache_folder.inside(path, kind.files) for kind in KINDS.values())
    return next((listing for listing in listings if listing), None)


def _named() -> Iterator[Path]:
    """Yield what lies where entries do; hidden files are locks."""
    root = folder()
    for kind in KINDS:
        place = root / kind
        if not place.is_symlink() and place.is_dir():
            yield from (path for path in place.iterdir() if not path.name.startswith("."))
    yield from (path for path in root.iterdir() if FILES.fullmatch(path.name))


def _contents(path: Path) -> list[Path] | None:
    """Return the files and folders that an entry is made of; None where it is no entry."""
    if path.parent == folder():
        ours = FILES.fullmatch(path.name) and path.is_file() and not path.is_symlink()
        return [path] if ours else None
    if path.parent.parent != folder() or path.parent.name not in KINDS:
        return None
    return cache_folder.contents(path.parent.name, path)


def _entry(path: Path) -> Entry | None:
    kind = FILE if path.parent == folder() else path.parent.name
    try:
        listing = _contents(path)
        used = path.stat().st_mtime if listing else 0.0
        about = about_entry.read(path) if path.is_dir() else NOTHING
        return Entry(kind, path.name, path, _size(listing), used, about) if listing else None
    except OSError:  # another process removed it meanwhile, or it cannot be read
        return None


def _size(listing: Iterable[Path]) -> int:
    return sum(path.lstat().st_size for path in listing if path.is_file())
