"""What is kept between runs: scans, image stores, features; bounded, and safe to share.

An entry is a folder `kind/key/` that appears in one rename, so nothing half-written is ever seen;
a file beside the kinds, which keeps itself whole, is an entry of the kind "file".
Whoever writes holds a lock on the folder being written, so that a folder whose lock is free was
left by a process that died. Knows nothing of what an entry holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 20_000_000_000
MAX_SHARE_OF_FREE_DISK = 0.2

# Names that no kind may take: what is being made, and what a later process can go on with.
MAKING = ".making"
PARTIAL = ".partial"
FILE = "file"  # the kind of what lies directly in the cache folder


@dataclass(frozen=True)
class Entry:
    """A folder or file of the cache: its size in bytes, when it was last used (seconds, Unix)."""

    kind: str
    key: str
    path: Path
    bytes: int
    used: float
    partial: bool = False  # begun by a run that did not finish; the next one goes on from there


def folder() -> Path:
    """Return the cache folder, created: $TL_CACHE, else $XDG_CACHE_HOME/tl, else ~/.cache/tl."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    place = Path(os.environ.get("TL_CACHE") or Path(home) / "tl").expanduser()
    place.mkdir(parents=True, exist_ok=True)
    return place


def find(kind: str, key: str) -> Path | None:
    """Return the folder of an entry and note that it was used now, or None if there is none."""
    path = folder() / kind / key
    try:
        os.utime(path)
    except FileNotFoundError:
        return None
    except PermissionError:  # a cache that another user shares for reading
        return path
    return path


def entries() -> list[Entry]:
    """Return what the cache holds, the least recently used first."""
    whole = [_entry(path) for path in folder().glob("[!.]*/*") if path.is_dir()]
    begun = [_entry(path, partial=True) for path in folder().glob(f"{PARTIAL}/*/*")]
    files = [_entry(path) for path in folder().glob("[!.]*") if path.is_file()]
    return sorted((e for e in whole + begun + files if e), key=lambda e: (e.used, e.kind, e.key))


@contextlib.contextmanager
def publish(kind: str, key: str) -> Iterator[Path]:
    """Give a temporary folder that becomes the entry when the body ends without an error.

    Where another process published the same key meanwhile, its copy stays and this one is dropped.
    """
    path, work = folder() / kind / key, folder() / MAKING / _unique()
    with _held(work):
        try:
            yield work
            _move(work, path)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    evict(keep=[path])


@contextlib.contextmanager
def partial(kind: str, key: str) -> Iterator[Path]:
    """Give the folder in which an entry grows, as far as a killed process left it.

    One writer at a time: a second one waits here, so look with `find` again afterwards. Nothing
    is published before `commit`.
    """
    work = folder() / PARTIAL / kind / key
    with _held(work):
        try:
            yield work
        finally:
            with contextlib.suppress(OSError):  # there only for the lock, or published
                work.rmdir()


def commit(work: Path) -> Path:
    """Publish a folder given by `partial`, while it is held, and return the entry's folder."""
    path = folder() / work.parent.name / work.name
    _move(work, path)
    evict(keep=[path])
    return path


def bound() -> int:
    """Return the bytes the cache may hold: 20 GB or 20 % of the disk that it could have."""
    free = shutil.disk_usage(folder()).free + sum(e.bytes for e in entries())
    return min(MAX_BYTES, int(MAX_SHARE_OF_FREE_DISK * free))


def evict(max_bytes: int | None = None, keep: Collection[Path] = ()) -> int:
    """Remove the least recently used entries until at most max_bytes remain; return bytes freed.

    `max_bytes`: None for `bound()`. `keep`: entry folders that stay. What a process is writing
    stays too; what a dead one left behind is removed.
    """
    swept = _sweep()
    limit = bound() if max_bytes is None else max_bytes
    # files last: small, and they do not note that they are read
    held = sorted(entries(), key=lambda e: e.kind == FILE)
    total = sum(e.bytes for e in held)
    freed = 0
    for entry in held:
        if total - freed > limit and entry.path not in keep and _remove(entry.path):
            freed += entry.bytes
    return swept + freed


def clear() -> int:
    """Remove everything that no process is writing; return the bytes freed."""
    return evict(-1)  # entries of no bytes too


def _sweep() -> int:
    """Remove what dead processes were making; return the bytes freed."""
    left = [_entry(path) for path in (folder() / MAKING).glob("*")]
    return sum(entry.bytes for entry in left if entry and _remove(entry.path))


def _entry(path: Path, partial: bool = False) -> Entry | None:
    kind = FILE if path.parent == folder() else path.parent.name
    try:
        size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
        return Entry(kind, path.name, path, size, path.stat().st_mtime, partial)
    except FileNotFoundError:  # another process removed it meanwhile
        return None


def _move(work: Path, path: Path) -> None:
    """Rename into place; where the entry exists already, drop the newcomer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for file in work.rglob("*"):
        if file.is_file():
            _fsync(file)
    try:
        work.rename(path)
    except OSError:
        if not path.is_dir():
            raise
        shutil.rmtree(work)
    else:
        os.utime(path)


def _fsync(file: Path) -> None:
    # without it a power cut could leave an entry in place whose bytes never reached the disk
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _held(work: Path) -> Iterator[None]:
    """Hold the lock on a folder, made where absent; the system frees it however the process ends.

    It waits for its turn. While it waited, the folder may have gone from under its name, published
    or evicted: then it begins again with a new one.
    """
    while True:
        work.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(work, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(work, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def _unique() -> str:
    return os.urandom(8).hex()


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> bool:
    """Remove an entry unless somebody is writing it; nothing half-removed is ever seen."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        gone = folder() / MAKING / _unique()
        gone.parent.mkdir(exist_ok=True)
        path.rename(gone)
        if gone.is_dir():
            shutil.rmtree(gone, ignore_errors=True)
        else:
            gone.unlink()
    except (BlockingIOError, FileNotFoundError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True
