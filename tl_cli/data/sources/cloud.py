"""Data at an address, ``s3://BUCKET/photos``, ``https://HOST/x.tar``: fetched once, by fsspec.

A copy of each file of images, shard and table lies in the cache, and is a source as any other from
there on. What was fetched is not fetched again unless it changed; a copy that was cut off goes on.
Knows nothing of any store: fsspec's packages (s3fs, gcsfs, ...) know how each is asked.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import posixpath
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tl_cli.data.decode import SUFFIXES
from tl_cli.data.manifest import Manifest, Options
from tl_cli.data.sources import parquet_images, rows, tar_shards, tfrecords
from tl_cli.errors import TLError
from tl_cli.humanize import count, size
from tl_cli.store import about_entry, cache_folder, locks, notices, reading

KIND = "cloud"
SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "http", "https", "file", "memory")  # of fsspec
ADDRESS = re.compile(r"([A-Za-z][\w+.-]*)://")
FILES, STATES = "files", "states.json"  # in an entry of the cache: copies, and which state of each
ENDINGS = (*SUFFIXES, *rows.READERS, tar_shards.SUFFIX, parquet_images.SUFFIX)
STAMPS = ("size", "ETag", "etag", "md5Hash", "content_md5", "LastModified", "mtime", "created")
AT_ONCE, TOGETHER = 16, 512  # files; after so many it is noted what is there
INSTALL = "pip install 'tl-cli[cloud]'"

Found = Mapping[str, Mapping[str, Any]]  # what fsspec says of each file, by its path there


def is_address(source: str) -> bool:
    """Tell whether a source is the address of something elsewhere."""
    found = ADDRESS.match(source)
    return found is not None and found[1].lower() in SCHEMES


def listed(source: str, options: Options, of_copy: Callable[[str, Options], Manifest]) -> Manifest:
    """List what lies at an address, from a copy in the cache that is as new. Raises TLError.

    `of_copy`: lists the copy.
    """
    place = _entry(source, options)
    with _told(source):
        store, root, found = _at(source)
    with _room_told(source, place), locks.held(place):
        _fetch(source, store, root, found, place)
        about_entry.note(place, [source])
    copy = place / FILES
    one = copy / posixpath.basename(root) if list(found) == [root] else copy
    return replace(of_copy(str(one), options), source=source)


def _entry(source: str, options: Options) -> Path:
    """Return the folder of the cache for an address."""
    key = hashlib.blake2b(source.rstrip("/").encode(), digest_size=16).hexdigest()
    with _room_told(source, Path(KIND)):
        return (options.cache / KIND if options.cache else cache_folder.kind_folder(KIND)) / key


def _at(source: str) -> tuple[Any, str, Found]:
    """Return the store, the path in it, and the files that are wanted. Raises what fsspec does."""
    import fsspec

    store, root = fsspec.core.url_to_fs(source)
    there = {root: store.info(root)} if store.isfile(root) else store.find(root, detail=True)
    found = {path: told for path, told in there.items() if _is_wanted(_below(path, root))}
    if not found:
        what = "no images, shards or tables" if there else "nothing"
        raise TLError(
            f"there is {what} at '{source}'", "see what lies there, and how it is written"
        )
    return store, root, found


def _below(path: str, root: str) -> str:
    """Return a path as it is to be below the copy."""
    return path.removeprefix(root).strip("/") or posixpath.basename(root)


def _is_wanted(name: str) -> bool:
    """Tell whether a file is an image, a shard or a table; one that would lie elsewhere is none."""
    parts = name.split("/")
    if any(part in ("", "..") or part.startswith(".") or "\\" in part for part in parts):
        return False
    shard = any(fnmatch.fnmatch(parts[-1], f"*{pattern}") for pattern in tfrecords.PATTERNS)
    return shard or parts[-1].lower().endswith(ENDINGS)


def _fetch(source: str, store: Any, root: str, found: Found, place: Path) -> None:
    """Have the copy hold these files as they are now, and no others."""
    copy, states = place / FILES, _states(place)
    now = {_below(path, root): (path, _stamp(told)) for path, told in found.items()}
    for name in [name for name in states if name not in now]:
        (copy / name).unlink(missing_ok=True)
        del states[name]
    lacking = [n for n, (_, s) in now.items() if states.get(n) != s or not (copy / n).is_file()]
    need = sum(int(found[now[name][0]].get("size") or 0) for name in lacking)
    if need > (free := shutil.disk_usage(place).free):
        raise TLError(
            f"what lies at '{source}' takes {size(need)}, "
            f"and the disk of the cache has {size(free)}",
            "name a folder on another disk in the environment variable TL_CACHE",
        )

    if lacking:
        many = count(len(lacking), "file")
        notices.say(source, f"Fetching {many} ({size(need)}) from {source} into the cache.")

    def fetch(name: str) -> None:
        beside = copy / f"{name}.part"
        beside.parent.mkdir(parents=True, exist_ok=True)
        with _told(source):
            store.get_file(now[name][0], str(beside))
        beside.replace(copy / name)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(lacking), TOGETHER):
            some = lacking[start : start + TOGETHER]
            list(pool.map(fetch, some))
            states |= {name: now[name][1] for name in some}
            _note(place, states)


def _states(place: Path) -> dict[str, str]:
    """Return which state of each file was fetched; nothing where that cannot be read."""
    try:
        said = reading.json_of(place / STATES)
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _note(place: Path, states: Mapping[str, str]) -> None:
    beside = place / f".{STATES}.0"  # whoever writes holds the lock
    beside.write_text(json.dumps(states))
    beside.replace(place / STATES)


def _stamp(told: Mapping[str, Any]) -> str:
    """Return what tells one state of a file from another, as far as its store says."""
    return " ".join(str(told[name]) for name in STAMPS if told.get(name) is not None)


@contextlib.contextmanager
def _told(source: str) -> Iterator[None]:
    """Turn what fsspec and its packages raise into one sentence: raises TLError."""
    try:
        yield
    except TLError:
        raise
    except ImportError as error:
        raise TLError(f"'{source}' needs a package that is not installed", INSTALL) from error
    except FileNotFoundError as error:
        raise TLError(f"there is nothing at '{source}'", "see how it is written") from error
    except Exception as error:  # every store raises its own
        lines = str(error).strip().splitlines()
        why = lines[0] if lines else type(error).__name__
        raise TLError(
            f"'{source}' cannot be read: {why}",
            "see whether this machine is online, and may read it",
        ) from error


@contextlib.contextmanager
def _room_told(source: str, place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TLError(
            f"what lies at '{source}' is copied into the cache: {cache_folder.reason(error)}",
            "name another folder in the environment variable TL_CACHE",
        ) from error
