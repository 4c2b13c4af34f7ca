"""The cache: entries appear whole, last-used order, bounds, and what killed processes leave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tl_cli import cache

WRITER = """
import sys, time
from tl_cli import cache
with cache.{how}("kind", "key") as work:
    (work / "data").write_bytes(b"{content}")
    print("writing", flush=True)
    sys.stdin.readline()
    {end}
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(key: str, size: int, used: float, kind: str = "kind") -> Path:
    with cache.publish(kind, key) as work:
        (work / "data").write_bytes(b"x" * size)
    path = cache.find(kind, key)
    assert path
    os.utime(path, (used, used))
    return path


def writer(how: str, content: str = "x", end: str = "") -> subprocess.Popen[str]:
    """Start a process that is in the middle of writing when this returns."""
    program = WRITER.format(how=how, content=content, end=end)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", program], text=True, **pipes)
    assert process.stdout and process.stdout.readline() == "writing\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("*/*")}


def test_the_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.folder() == tmp_path / "cache"
    monkeypatch.delenv("TL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "tl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.folder() == tmp_path / "home" / ".cache" / "tl"
    assert cache.folder().is_dir()


def test_an_entry_is_seen_only_when_whole() -> None:
    with cache.publish("kind", "key") as work:
        (work / "data").write_bytes(b"abc")
        assert cache.find("kind", "key") is None
        assert cache.entries() == []
    found = cache.find("kind", "key")
    assert found and (found / "data").read_bytes() == b"abc"
    (entry,) = cache.entries()
    assert (entry.kind, entry.key, entry.bytes, entry.path) == ("kind", "key", 3, found)


def test_an_error_while_writing_leaves_nothing(own_folder: Path) -> None:
    with pytest.raises(KeyError), cache.publish("kind", "key") as work:
        (work / "data").write_bytes(b"abc")
        raise KeyError
    assert cache.find("kind", "key") is None
    assert names(own_folder) == set()


def test_of_two_writers_the_first_wins_and_the_other_is_dropped(own_folder: Path) -> None:
    process = writer("publish", "theirs")
    with cache.publish("kind", "key") as work:
        (work / "data").write_bytes(b"ours")
    finish(process)
    found = cache.find("kind", "key")
    assert found and (found / "data").read_bytes() == b"ours"
    assert names(own_folder) == {"kind/key"}


def test_a_killed_writer_leaves_nothing_seen_and_is_swept(own_folder: Path) -> None:
    kill(writer("publish"))
    assert cache.find("kind", "key") is None
    assert cache.entries() == []
    assert len(names(own_folder)) == 1
    cache.evict()
    assert names(own_folder) == set()


def test_what_a_living_process_writes_is_left_alone() -> None:
    process = writer("publish")
    grower = writer("partial", end="cache.commit(work)")
    assert cache.clear() == 0
    finish(process)
    assert cache.find("kind", "key")
    finish(grower)


def test_a_partial_outlives_its_writer_and_is_gone_on_with() -> None:
    kill(writer("partial", "begun"))
    cache.evict()
    assert cache.find("kind", "key") is None
    assert [entry.partial for entry in cache.entries()] == [True]
    with cache.partial("kind", "key") as work:
        assert (work / "data").read_bytes() == b"begun"
        (work / "data").write_bytes(b"whole")
        path = cache.commit(work)
    assert path == cache.find("kind", "key")
    assert (path / "data").read_bytes() == b"whole"
    assert [entry.partial for entry in cache.entries()] == [False]


def test_a_second_writer_of_a_partial_waits_for_its_turn() -> None:
    process = writer("partial", "theirs", end="cache.commit(work)")
    seen: list[Path | None] = []

    def second() -> None:
        with cache.partial("kind", "key") as work:
            assert list(work.iterdir()) == []
            seen.append(cache.find("kind", "key"))

    thread = threading.Thread(target=second)
    thread.start()
    thread.join(0.2)
    assert seen == []
    finish(process)
    thread.join(30)
    assert len(seen) == 1 and seen[0] and (seen[0] / "data").read_bytes() == b"theirs"
    assert [entry.partial for entry in cache.entries()] == [False]


def test_an_error_inside_a_partial_reaches_the_caller() -> None:
    with pytest.raises(FileNotFoundError), cache.partial("kind", "key"):
        raise FileNotFoundError


def test_eviction_takes_the_least_recently_used_first() -> None:
    for used, key in enumerate("abcd"):
        put(key, 100, used=1000.0 + used)
    assert cache.find("kind", "a")  # used now, so it is the youngest
    assert [entry.key for entry in cache.entries()] == ["b", "c", "d", "a"]
    assert cache.evict(250) == 200
    assert [entry.key for entry in cache.entries()] == ["d", "a"]
    assert cache.evict(250) == 0


def test_eviction_keeps_what_it_is_told_to_keep() -> None:
    old = put("old", 100, used=1.0)
    put("new", 100, used=2.0)
    assert cache.evict(0, keep=[old]) == 100
    assert [entry.key for entry in cache.entries()] == ["old"]


def test_publishing_holds_the_cache_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 250)
    assert cache.bound() == 250
    for used, key in enumerate("abcd"):
        put(key, 100, used=1000.0 + used)
    assert [entry.key for entry in cache.entries()] == ["c", "d"]
    put("larger than the bound", 300, used=2000.0)
    assert [entry.key for entry in cache.entries()] == ["larger than the bound"]


def test_the_bound_is_a_share_of_a_small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    put("a", 1000, used=1.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=9000))
    assert cache.bound() == 2000


def test_clear_frees_everything(own_folder: Path) -> None:
    put("a", 100, used=1.0)
    put("b", 50, used=2.0, kind="other")
    kill(writer("partial", "begun"))
    assert cache.clear() == 155
    assert cache.entries() == []
    assert names(own_folder / ".partial") == set()
