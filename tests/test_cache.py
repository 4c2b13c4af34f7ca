"""`tl cache`: what it lists, what it removes, what it says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tl_cli.cli.app import app
from tl_cli.data.decode import DECODE_VERSION
from tl_cli.humanize import size
from tl_cli.store import about_entry, cache, cache_folder
from tl_cli.store.rows import ROWS_VERSION, Table

HOUR = 3600


def tl(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def put(kind: str, key: str, count: int, age: float) -> Path:
    """Put an entry into the cache that was last used `age` seconds ago."""
    path = cache_folder.folder() / kind / key
    path.mkdir(parents=True)
    (path / "rows.bin").write_bytes(b"x" * count)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.fixture
def filled() -> Path:
    put("features", "f" * 32, 4_000_000, 3 * HOUR)
    put("images", "224px-aaaaaaaaaaaa", 2_500_000, 2 * 24 * HOUR)
    put("images", "128px-bbbbbbbbbbbb", 1000, 0)
    (cache_folder.folder() / "scan.sqlite").write_bytes(b"x" * 300)
    return cache_folder.folder()


def listed() -> dict[tuple[str, str], dict]:
    done = tl("cache", "--json")
    assert done.exit_code == 0, done.output
    return {(e["kind"], e["key"]): e for e in json.loads(done.stdout)["entries"]}


def test_an_empty_cache_says_so():
    done = tl("cache")
    assert done.exit_code == 0
    assert "nothing is cached" in " ".join(done.stdout.split())
    assert listed() == {}


def test_everything_in_the_cache_is_listed_the_oldest_first(filled):
    done = tl("cache")
    assert done.exit_code == 0, done.output
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert rows[0] == "entry size last used"
    assert rows[1:3] == ["images/224px-aaaaaa 2.5 MB 2 days ago", "decoded images"]
    assert rows[3:5] == [
        "features/ffffffffffff 4.0 MB 3 hours ago",
        "what a backbone made of images",
    ]
    assert set(rows[5:9]) == {
        "images/128px-bbbbbb 1.0 kB just now", "decoded images",
        "scan.sqlite 300 bytes just now", "what was seen in image files of any data",
    }  # fmt: skip
    assert f"{filled}: 4 entries, 6.5 MB; at most {size(cache.bound())} are kept" in done.stdout


def test_the_listing_as_json(filled):
    found = json.loads(tl("cache", "--json").stdout)
    assert set(found) == {
        "folder",
        "entries",
        "bytes",
        "bound",
        "freed",
        "would_remove",
        "not_ours",
    }
    assert (found["folder"], found["bytes"], found["freed"]) == (str(filled), 6_501_300, None)
    entries = listed()
    assert set(entries["features", "f" * 32]) == {
        "kind", "key", "bytes", "used", "network", "data",
    }  # fmt: skip
    assert entries["features", "f" * 32]["bytes"] == 4_000_000
    assert entries["file", "scan.sqlite"]["bytes"] == 300


def test_clear_removes_everything_and_says_how_much(filled):
    done = tl("cache", "--clear")
    assert done.exit_code == 0, done.output
    assert "freed 6.5 MB" in done.stdout and "nothing is cached" in done.stdout
    assert [p.name for p in filled.rglob("*") if p.is_file()] == [cache_folder.MARKER]
    assert json.loads(tl("cache", "--clear", "--json").stdout)["freed"] == 0


def test_clear_sweeps_and_counts_what_a_dead_process_was_removing():
    left = cache_folder.folder() / cache_folder.REMOVING / "1234"
    left.mkdir(parents=True)
    (left / "rows.bin").write_bytes(b"x" * 50)
    assert json.loads(tl("cache", "--clear", "--json").stdout)["freed"] == 50
    assert not left.exists()


def test_max_size_removes_the_oldest_and_keeps_the_scans(filled):
    done = tl("cache", "--max-size", "4.1MB")
    assert done.exit_code == 0, done.output
    assert "freed 2.5 MB" in done.stdout
    assert {kind for kind, _ in listed()} == {"features", "images", "file"}
    assert json.loads(tl("cache", "--max-size", "350", "--json").stdout)["freed"] == 4_001_000
    assert list(listed()) == [("file", "scan.sqlite")]
    assert json.loads(tl("cache", "--max-size", "0", "--json").stdout)["freed"] == 300


@pytest.mark.parametrize(
    ("text", "kept"),
    [("6501300", 4), ("6501299", 3), ("6.5 MB", 3), ("7mb", 4), ("6 MiB", 3), ("5GB", 4)],
)
def test_sizes_are_read_as_people_write_them(filled, text, kept):
    assert tl("cache", "--max-size", text).exit_code == 0
    assert len(listed()) == kept


@pytest.mark.parametrize("text", ["", "much", "-1", "5 apples", "GB", "1e3", "1,5GB"])
def test_what_is_no_size_removes_nothing(filled, text):
    done = tl("cache", f"--max-size={text}")
    assert done.exit_code == 2
    assert "500MB" in done.stderr
    assert len(listed()) == 4


def test_clear_and_max_size_exclude_each_other(filled):
    assert tl("cache", "--clear", "--max-size", "0").exit_code == 2
    assert len(listed()) == 4


def test_a_cache_that_cannot_be_used_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "file" / "cache"))
    done = tl("cache")
    assert done.exit_code == 1
    assert "error: the cache cannot be used" in done.stderr and "TL_CACHE" in done.stderr


def test_a_scan_is_remembered_listed_cleared_and_made_again(image_folder):
    folder = image_folder(n=5)
    assert tl("inspect", folder, "-q").exit_code == 0
    assert list(listed()) == [("file", "scan.sqlite")]
    assert tl("cache", "--clear").exit_code == 0
    assert listed() == {}
    assert tl("inspect", folder, "-q").exit_code == 0
    assert list(listed()) == [("file", "scan.sqlite")]


def test_a_scan_keeps_what_the_run_will_want(image_folder):
    folder = image_folder(n=5, size=(60, 48))
    images = "images", f"224px-{DECODE_VERSION}-{ROWS_VERSION}"
    for n in (10, 11):  # and a new image is added
        advised = tl("recommend-freeze", "--data", folder, "--similarity", "high")
        assert advised.exit_code == 0, advised.output
        note = (cache_folder.folder().joinpath(*images) / about_entry.FILE).stat().st_size
        assert listed()[images]["bytes"] == n * (224 * 224 * 3 + Table.LINE) + note
        (folder / "cat" / "copy.png").write_bytes((folder / "dog" / "00.png").read_bytes() + b"x")


def test_a_scan_keeps_no_images_that_will_be_made_smaller(image_folder):
    folder = image_folder(n=5, size=(24, 16))
    assert tl("recommend-freeze", "--data", folder, "--similarity", "high").exit_code == 0
    assert list(listed()) == [("file", "scan.sqlite")]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (99_400, "99.4 kB"),
        (123_456, "123 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (16_200_000_000, "16.2 GB"),
        (5e12, "5.0 TB"), (7e15, "7000 TB"),
    ],
)  # fmt: skip
def test_bytes_are_written_as_people_say_them(count, text):
    assert size(count) == text
