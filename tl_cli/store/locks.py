"""One writer at a time for a folder of the cache, and what the one who waits is told.

The system frees a lock however a process ends. Nobody waits for a process that does nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType

from tl_cli.store import notices, reading

fcntl: ModuleType | None
try:
    # A lock file of filelock's stays where it is, and an entry may be evicted under its name: here
    # the folder itself is locked, so that the lock goes with it and nothing is left behind.
    import fcntl
except ImportError:  # Windows, which opens no folders; there filelock is what does it
    fcntl = None

WRITER = "writer.json"  # who holds the lock and since when; says nothing once it is free
POLL = 0.1  # seconds between two tries
PATIENCE = 1.0  # seconds of waiting that need no word
STALLED = 120.0  # seconds without a new byte after which a writer is not waited for any longer


@contextlib.contextmanager
def held(entry: Path, *, wait: bool = True, signed: bool = True) -> Iterator[None]:
    """Hold the lock on an entry's folder, made where absent: one writer at a time, no eviction.

    It waits for its turn and says so, or with `wait` False raises BlockingIOError. Raises
    TimeoutError where the one who holds it has written nothing for STALLED seconds, OSError where
    the folder cannot be made or locked. While it waited, the folder may have been evicted from
    under its name: then it begins again with a new one. `signed`: whether it is written down in
    the folder who holds it.
    """
    waiting = _Waiting(entry) if wait else None
    with _held_folder(entry, waiting) if fcntl else _held_file(entry, waiting):
        _make(entry)
        with _signed(entry) if signed else contextlib.nullcontext():
            yield


def _make(entry: Path) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.mkdir(exist_ok=True)


@contextlib.contextmanager
def _signed(entry: Path) -> Iterator[None]:
    """Write down who writes, as long as it does; no more than a courtesy."""
    with contextlib.suppress(OSError):
        text = json.dumps({"pid": os.getpid(), "since": time.time()})
        (entry / WRITER).write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (entry / WRITER).unlink()


class _Waiting:
    """Somebody else's turn: says who it is, and ends when nothing comes of it."""

    def __init__(self, entry: Path) -> None:
        self.entry = entry
        self.began = self.moved = time.monotonic()
        self.state = self._state()

    def pause(self) -> None:
        """Sleep a little. Raises TimeoutError where the writer is stuck."""
        time.sleep(POLL)
        now = time.monotonic()
        state = self._state()
        if state != self.state:
            self.moved, self.state = now, state
        what = f"{self.entry.parent.name}/{self.entry.name[:12]}"
        if now - self.began >= PATIENCE:
            notices.say(f"waiting {self.entry}", f"Waiting for {self._writer()}: {what}.")
        if now - self.moved >= STALLED:
            raise TimeoutError(
                f"{self._writer()} has written nothing to {what} for {STALLED:.0f} seconds"
            )

    def _state(self) -> list[tuple[str, int]]:
        with contextlib.suppress(OSError):
            return sorted((file.name, file.stat().st_size) for file in self.entry.iterdir())
        return []

    def _writer(self) -> str:
        try:
            said = reading.json_of(self.entry / WRITER)
            since = datetime.fromtimestamp(said["since"]).strftime("%H:%M:%S")
            return f"process {int(said['pid'])}, which has been writing to the cache since {since}"
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return "another process, which is writing to the cache"


@contextlib.contextmanager
def _held_folder(entry: Path, waiting: _Waiting | None) -> Iterator[None]:
    while True:
        _make(entry)
        try:
            descriptor = os.open(entry, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            if _locked(descriptor, waiting) and _is_at(entry, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def _locked(descriptor: int, waiting: _Waiting | None) -> bool:
    """Lock an open folder; without waiting raise BlockingIOError, else pause and return False."""
    assert fcntl
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not waiting:
            raise
        waiting.pause()
        return False
    return True


@contextlib.contextmanager
def _held_file(entry: Path, waiting: _Waiting | None) -> Iterator[None]:
    """Hold a lock file that lies hidden beside the entry, and stays."""
    from filelock import FileLock, Timeout

    entry.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(entry.with_name(f".{entry.name}.lock"))
    while not lock.is_locked:
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if not waiting:
                raise BlockingIOError(f"{entry} is being written") from error
            waiting.pause()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def held_to_remove(path: Path) -> Iterator[None]:
    """Hold the lock on what is there, a folder or a file, and make nothing.

    Raises BlockingIOError where somebody else holds it.
    """
    if not fcntl:
        with _held_file(path, None):
            yield
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
