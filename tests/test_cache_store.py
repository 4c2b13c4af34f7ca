"""The cache: locks on entries, last-used order, bounds, and what killed processes leave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import platformdirs
import pytest

from tl_cli.store import cache, cache_folder, locks

WRITER = """
import sys
from pathlib import Path
from tl_cli.store import locks
if sys.argv[1] == "filelock":
    locks.fcntl = None
entry = Path(sys.argv[2])
with locks.held(entry):
    (entry / "rows.bin").write_bytes(b"theirs")
    print("writing", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True, params=["flock", "filelock"])
def own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """Give each test a cache of its own, once as on Unix, once as where there is no fcntl."""
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "cache"))
    if request.param == "filelock":
        monkeypatch.setattr(locks, "fcntl", None)
    return tmp_path / "cache"


def key(letter: str) -> str:
    return letter * 32


def an_entry() -> Path:
    return cache_folder.kind_folder("features") / key("e")


def put(letter: str, size: int, used: float) -> Path:
    path = cache_folder.folder() / "features" / key(letter)
    with locks.held(path):
        (path / "rows.bin").write_bytes(b"x" * size)
    os.utime(path, (used, used))
    return path


def writer() -> subprocess.Popen[str]:
    """Start a process that is in the middle of writing when this returns."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    lock = "flock" if locks.fcntl else "filelock"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, lock, str(an_entry())], text=True, **pipes
    )
    assert process.stdout and process.stdout.readline() == "writing\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder.folder() == tmp_path / "cache"
    monkeypatch.delenv("TL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder.folder() == tmp_path / "xdg" / "tl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder.folder() == tmp_path / "home" / ".cache" / "tl"
    assert cache_folder.folder().is_dir()


def test_without_the_environment_the_system_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, **_: tmp_path / "Lib" / name)
    assert cache_folder.folder() == tmp_path / "Lib" / "tl"


def test_entries_are_folders_of_a_kind_and_files_beside_them(own_folder: Path) -> None:
    put("e", 3, used=1.0)
    (own_folder / "scan.sqlite").write_bytes(b"abcd")
    found = [(entry.kind, entry.key, entry.bytes) for entry in cache.entries()]
    assert found == [("features", key("e"), 3), (cache_folder.FILE, "scan.sqlite", 4)]


def test_what_a_living_process_writes_is_left_alone() -> None:
    process = writer()
    assert cache.clear() == 0
    finish(process)
    assert cache.clear() == len("theirs")


def test_what_a_killed_writer_leaves_is_gone_on_with(own_folder: Path) -> None:
    kill(writer())
    entry = an_entry()
    with locks.held(entry, wait=False):
        assert (entry / "rows.bin").read_bytes() == b"theirs"


def test_a_second_writer_waits_for_its_turn_or_is_told(own_folder: Path) -> None:
    process, entry = writer(), an_entry()
    with pytest.raises(BlockingIOError), locks.held(entry, wait=False):
        pass
    seen: list[bytes] = []

    def second() -> None:
        with locks.held(entry):
            seen.append((entry / "rows.bin").read_bytes())

    thread = threading.Thread(target=second)
    thread.start()
    thread.join(0.2)
    assert seen == []
    finish(process)
    thread.join(30)
    assert seen == [b"theirs"]


def test_who_waited_for_an_entry_that_went_holds_a_new_one(own_folder: Path) -> None:
    entry = an_entry()
    held, there = threading.Event(), []

    def second() -> None:
        held.wait(30)
        with locks.held(entry):
            there.append((entry.is_dir(), [path.name for path in entry.iterdir()]))

    thread = threading.Thread(target=second)
    thread.start()
    with locks.held(entry):
        (entry / "rows.bin").write_bytes(b"x")
        held.set()
        thread.join(0.2)
        entry.rename(own_folder / "gone")
    thread.join(30)
    assert there == [(True, [locks.WRITER])]


def test_an_error_while_writing_reaches_the_caller(own_folder: Path) -> None:
    with pytest.raises(FileNotFoundError), locks.held(an_entry()):
        raise FileNotFoundError


def test_eviction_takes_the_least_recently_used_first() -> None:
    for used, letter in enumerate("abcd"):
        put(letter, 100, used=1000.0 + used)
    os.utime(cache_folder.folder() / "features" / key("a"))  # used now, so it is the youngest
    assert [entry.key[0] for entry in cache.entries()] == ["b", "c", "d", "a"]
    assert cache.evict(250) == 200
    assert [entry.key[0] for entry in cache.entries()] == ["d", "a"]
    assert cache.evict(250) == 0


def test_eviction_keeps_what_it_is_told_to_keep() -> None:
    old = put("a", 100, used=1.0)
    put("b", 100, used=2.0)
    assert cache.evict(0, keep=[old]) == 100
    assert [entry.key[0] for entry in cache.entries()] == ["a"]


def test_eviction_holds_the_cache_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 250)
    assert cache.bound() == 250
    for used, key in enumerate("abcd"):
        put(key, 100, used=1000.0 + used)
    assert cache.evict() == 200
    assert [entry.key[0] for entry in cache.entries()] == ["c", "d"]


def test_the_bound_is_a_share_of_a_small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    put("a", 1000, used=1.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=9000))
    assert cache.bound() == 2000


def test_clear_frees_everything(own_folder: Path) -> None:
    put("a", 100, used=1.0)
    put("b", 50, used=2.0)
    removing = own_folder / cache_folder.REMOVING
    (removing / "1234").mkdir(parents=True)
    (removing / "1234" / "rows.bin").write_bytes(b"theirs")  # died meanwhile
    assert cache.clear() == 156
    assert cache.entries() == []
    assert {n for n in names(removing) if not n.endswith(".lock")} == set()
