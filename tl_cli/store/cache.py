"""What is kept between runs: scans, image stores, features; bounded, and safe to share.

An entry is a folder `kind/key/`, such as a table that grows (see rows.py), or a file beside the
kinds, which keeps itself whole: an entry of the kind "file". Whoever writes to a folder holds its
lock, and what is locked is never removed. Knows nothing of what an entry holds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    # A lock file of filelock's stays where it is, and an entry may be evicted under its name: here
    # the folder itself is locked, so that the lock goes with it and nothing is left behind.
    import fcntl
except ImportError:  # Windows, which opens no folders; there filelock is what does it
    fcntl = None

MAX_BYTES = 20_000_000_000
MAX_SHARE_OF_FREE_DISK = 0.2

REMOVING = ".removing"  # a name that no kind may take
FILE = "file"  # the kind of what lies directly in the cache folder


@dataclass(frozen=True)
class Entry:
    """A folder or file of the cache: its size in bytes, when it was last used (seconds, Unix)."""

    kind: str
    key: str
    path: Path
    bytes: int
    used: float


def folder() -> Path:
    """Return the cache folder, created: $TL_CACHE, else $XDG_CACHE_HOME/tl, else the system's.

    The system's is ~/.cache/tl on Linux.
    """
    place = _place().expanduser()
    place.mkdir(parents=True, exist_ok=True)
    return place


def _place() -> Path:
    import platformdirs

    if said := os.environ.get("TL_CACHE"):
        return Path(said)
    if home := os.environ.get("XDG_CACHE_HOME"):
        return Path(home) / "tl"
    return platformdirs.user_cache_path("tl", appauthor=False)


def entries() -> list[Entry]:
    """Return what the cache holds, the least recently used first."""
    folders = [_entry(path) for path in folder().glob("[!.]*/*") if path.is_dir()]
    files = [_entry(path) for path in folder().glob("[!.]*") if path.is_file()]
    return sorted((e for e in folders + files if e), key=lambda e: (e.used, e.kind, e.key))


@contextlib.contextmanager
def held(entry: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock on an entry's folder, made where absent: one writer at a time, no eviction.

    The system frees the lock however the process ends. It waits for its turn, or with `wait` False
    raises BlockingIOError. While it waited, the folder may have been evicted from under its name:
    then it begins again with a new one.
    """
    with _held_folder(entry, wait) if fcntl else _held_file(entry, wait):
        entry.mkdir(parents=True, exist_ok=True)
        yield


@contextlib.contextmanager
def _held_folder(entry: Path, wait: bool) -> Iterator[None]:
    assert fcntl
    while True:
        entry.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(entry, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(entry, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _held_file(entry: Path, wait: bool) -> Iterator[None]:
    """Hold a lock file that lies hidden beside the entry, and stays."""
    from filelock import FileLock, Timeout

    entry.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(entry.with_name(f".{entry.name}.lock"))
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise BlockingIOError(f"{entry} is being written") from error
    try:
        yield
    finally:
        lock.release()


def bound() -> int:
    """Return the bytes the cache may hold: 20 GB or 20 % of the disk that it could have."""
    free = shutil.disk_usage(folder()).free + sum(e.bytes for e in entries())
    return min(MAX_BYTES, int(MAX_SHARE_OF_FREE_DISK * free))


def evict(max_bytes: int | None = None, keep: Collection[Path] = ()) -> int:
    """Remove the least recently used entries until at most max_bytes remain; return bytes freed.

    `max_bytes`: None for `bound()`. `keep`: entry folders that stay. What a process is writing
    stays too.
    """
    swept = _sweep()
    limit = bound() if max_bytes is None else max_bytes
    # files last: small, and they do not note that they are read
    found = sorted(entries(), key=lambda e: e.kind == FILE)
    total = sum(e.bytes for e in found)
    freed = 0
    for entry in found:
        if total - freed > limit and entry.path not in keep and remove(entry.path):
            freed += entry.bytes
    return swept + freed


def clear() -> int:
    """Remove everything that no process is writing; return the bytes freed."""
    return evict(-1)  # entries of no bytes too


def _sweep() -> int:
    """Remove what processes that died were removing; return the bytes freed."""
    left = [_entry(path) for path in (folder() / REMOVING).glob("*")]
    return sum(entry.bytes for entry in left if entry and remove(entry.path))


def _entry(path: Path) -> Entry | None:
    kind = FILE if path.parent == folder() else path.parent.name
    try:
        size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
        return Entry(kind, path.name, path, size, path.stat().st_mtime)
    except FileNotFoundError:  # another process removed it meanwhile
        return None


def _unique() -> str:
    return os.urandom(8).hex()


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove(path: Path) -> bool:
    """Remove an entry unless somebody is writing it; nothing half-removed is ever seen.

    Who has mapped its files can go on reading them.
    """
    try:
        with _held_to_remove(path) if fcntl else _held_file(path, wait=False):
            gone = folder() / REMOVING / _unique()
            gone.parent.mkdir(exist_ok=True)
            path.rename(gone)
            if gone.is_dir():
                shutil.rmtree(gone, ignore_errors=True)
            else:
                gone.unlink()
    except (BlockingIOError, FileNotFoundError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def _held_to_remove(path: Path) -> Iterator[None]:
    """Hold the lock on what is there, a folder or a file, and make nothing."""
    assert fcntl
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
