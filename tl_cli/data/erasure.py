"""What the cache keeps of images that somebody wants out: found by their content, and erased."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from pathlib import Path

from tl_cli.data import scan_cache
from tl_cli.errors import TLError
from tl_cli.results.update import Erased
from tl_cli.store import cache, cache_folder, row_erasure, run_dir, runs

TABLES = ("features", "images")  # kinds of entries whose rows belong to contents


def erase(digests: Collection[str]) -> Erased:
    """Erase features, pixels and looks of these images from the cache, whoever put them there.

    Raises TLError where that cannot be done: then it is not known what is left.
    """
    digests = {digest for digest in digests if digest}
    place = cache_folder.usable()
    if place is None or not digests:
        return Erased(str(place or ""))
    rows = dict.fromkeys(TABLES, 0)
    try:
        for entry in cache.entries():
            if entry.kind in TABLES:
                rows[entry.kind] += row_erasure.erase(entry.path, digests)
        looks = scan_cache.erase(place, digests)
    except OSError as error:
        raise TLError(
            f"not all that the cache keeps of these images could be erased: {error}",
            "clear the cache, which removes all that it keeps: tl cache --clear",
        ) from error
    return Erased(str(place), rows["features"], rows["images"], looks)


def holding(folders: Iterable[Path], digests: Collection[str]) -> tuple[str, ...]:
    """Return the runs below some folders whose manifest names any of these images."""
    names = frozenset(digest.encode() for digest in digests if digest)
    places = dict.fromkeys(path.resolve() for folder in folders for path in runs.places(folder))
    return tuple(str(path) for path in places if _names_any(path / run_dir.MANIFEST, names))


def _names_any(manifest: Path, names: frozenset[bytes]) -> bool:
    with contextlib.suppress(OSError), manifest.open("rb") as lines:
        return any(not names.isdisjoint(line.split(b",")) for line in lines)
    return False
