"""The cache touches what tl made and nothing else, and refuses folders that are other people's."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from test_cache import tl
from tl_cli.store import cache, cache_folder, locks, notices

KEY = "0123456789abcdef" * 2
TABLE = ("rows.bin", "digests.txt")


def write(path: Path, text: str = "mine") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def entry(root: Path, kind: str = "features", key: str = KEY) -> Path:
    for name in TABLE:
        write(root / kind / key / name, "rows")
    return root / kind / key


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a cache folder that is not there yet."""
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_new_folder_is_made_and_marked(root: Path) -> None:
    assert cache_folder.folder() == root
    assert cache_folder.is_marked(root)
    tag = (root / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert cache_folder.folder() == root


@pytest.mark.parametrize(
    "strange",
    ["other/sub/thesis.txt", "thesis.txt", ".profile", "features/notes.txt", "images/cat/1.jpg",
     "features/cats/rows.bin", "scan.sqlite", "CACHEDIR.TAG", f"features/{KEY}/thesis.txt"],
)  # fmt: skip
@pytest.mark.parametrize("asked", [("--clear",), ("--max-size", "0")])
def test_a_folder_that_holds_anything_else_is_refused_and_not_touched(
    root: Path, strange: str, asked: tuple[str, ...]
) -> None:
    file = write(root / strange)
    before = sorted(root.rglob("*"))
    done = tl("cache", *asked)
    assert done.exit_code == 1
    assert "tl did not make" in done.stderr and "TL_CACHE" in done.stderr
    assert sorted(root.rglob("*")) == before and file.read_text() == "mine"


STRANGERS = (
    "other/sub/thesis.txt", "thesis.txt", "features/notes.txt", "images/cat/1.jpg", "tfds/x/y",
    "features/cats/rows.bin", f"images/{KEY}/rows.bin", f"features/{'f' * 32}/thesis.txt",
    f"features/{'e' * 32}/sub/rows.bin", ".removing/thesis.txt", ".removing/old/thesis.txt",
    "224px-1/rows.bin", "runs/a/checkpoint.json",
)  # fmt: skip


def test_what_comes_into_a_cache_later_is_never_touched(root: Path) -> None:
    cache_folder.folder()
    mine = [write(root / name) for name in STRANGERS]
    ours = [entry(root), entry(root, "images", "224px-1-2"), entry(root, "images", "32px-1")]
    for name in TABLE:
        write(root / "features" / ("f" * 32) / name)  # ours, and a thesis in it
    done = tl("cache", "--clear")
    assert done.exit_code == 0, done.stderr
    assert "freed 24 bytes" in done.stdout and "tl did not make" in done.stdout
    assert all(path.read_text() == "mine" for path in mine)
    assert not any(path.exists() for path in ours)
    assert cache.evict(-1) == 0  # as every training does


def test_no_link_is_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    entry(outside, "images", "64px-1-2")
    write(outside / KEY / "rows.bin")
    cache_folder.folder()
    (root / "images").symlink_to(outside / "images")
    (root / "features").mkdir()
    (root / "features" / KEY).symlink_to(outside / KEY)
    linked = entry(root, key="d" * 32)
    (linked / "clipped").symlink_to(outside / KEY / "rows.bin")
    (root / "scan.sqlite").symlink_to(write(outside / "scan.sqlite"))
    (root / ".removing").symlink_to(outside)
    before = sorted(outside.rglob("*"))
    assert cache.entries() == [] and cache.evict(-1) == 0
    assert sorted(outside.rglob("*")) == before and linked.is_dir()
    with pytest.raises(OSError, match="is a link"):
        cache_folder.kind_folder("images")
    assert not cache.remove(entry(root, key="b" * 32))  # it would go through .removing
    assert (root / "features" / ("b" * 32)).is_dir()


def test_a_cache_of_a_version_without_a_mark_is_adopted(root: Path) -> None:
    sqlite3.connect(root.mkdir() or root / "scan.sqlite").close()
    old = [entry(root), entry(root, "images", "224px-1")]
    stranger = write(root / "other" / "sub" / "thesis.txt")
    assert cache_folder.folder() == root and cache_folder.is_marked(root)
    assert len(cache.entries()) == 3
    cache.evict(-1)
    assert not any(path.exists() for path in old) and stranger.read_text() == "mine"


@pytest.mark.parametrize("names", [(), ("features", "images", ".removing"), ("lost+found",)])
def test_an_empty_folder_becomes_a_cache(root: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (root / name).mkdir(parents=True)
    root.mkdir(exist_ok=True)
    assert cache_folder.is_marked(cache_folder.folder())


@pytest.mark.parametrize("empty", [True, False])
def test_a_home_is_never_a_cache(root: Path, monkeypatch: pytest.MonkeyPatch, empty: bool) -> None:
    monkeypatch.setenv("HOME", str(root))
    root.mkdir()
    if not empty:
        entry(root)
    for named in (root, root / ".", Path("~")):
        monkeypatch.setenv("TL_CACHE", str(named))
        done = tl("cache", "--clear")
        assert done.exit_code == 1 and "it is a home folder" in done.stderr
    assert not (root / "CACHEDIR.TAG").exists()
    assert empty or (root / "features" / KEY / "rows.bin").exists()


def test_a_dry_run_says_what_would_go_and_removes_nothing(root: Path) -> None:
    cache_folder.folder()
    kept = [entry(root), entry(root, "images", "224px-1-2")]
    write(root / "thesis.txt")
    os.utime(kept[0], (1, 1))
    done = tl("cache", "--clear", "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert "2 entries would be removed, freeing 16 bytes" in done.stdout
    assert "thesis" not in done.stdout and all(path.is_dir() for path in kept)
    told = json.loads(tl("cache", "--max-size", "8", "--dry-run", "--json").stdout)
    assert [each["key"] for each in told["would_remove"]] == [KEY] and told["freed"] is None
    assert told["not_ours"] == ["thesis.txt"]
    assert "nothing would be removed" in tl("cache", "--max-size", "1GB", "--dry-run").stdout
    assert tl("cache", "--dry-run").exit_code == 2
    assert all(path.is_dir() for path in kept)


def test_who_holds_a_lock_leaves_no_trace_when_it_is_free(root: Path) -> None:
    place = cache_folder.kind_folder("features") / KEY
    with locks.held(place, signed=False):
        assert list(place.iterdir()) == []
    with locks.held(place):
        assert [path.name for path in place.iterdir()] == [locks.WRITER]
    assert list(place.iterdir()) == []


def test_a_writer_that_does_nothing_is_not_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    monkeypatch.setattr(locks, "STALLED", 0.5)
    place = cache_folder.kind_folder("features") / KEY
    said: list[str] = []
    with (
        locks.held(place),
        notices.listening(said.append),
        pytest.raises(TimeoutError, match=f"process {os.getpid()}.* has written nothing"),
        locks.held(place),
    ):
        pass
    [text] = said
    assert f"process {os.getpid()}, which has been writing" in text and "since" in text
