"""What an entry of the cache says of itself: which data, which network."""

from __future__ import annotations

import json

import pytest

from test_cache import listed, put, tl
from tl_cli.data.scan import scan
from tl_cli.store import about_entry, cache, cache_folder
from tl_cli.store.about_entry import About, data_of, note, read

KEY = "e" * 32


def test_images_are_known_by_the_folder_that_all_lie_in():
    assert data_of(["/a/photos/cat/1.jpg", "/a/photos/dog/2.jpg"]) == ("/a/photos",)
    assert data_of(["/a/cat/1.jpg", "/a/cats/2.jpg"]) == ("/a",)
    assert data_of(["sample:digits/0001", "sample:digits/0002"]) == ("sample:digits",)
    assert data_of([]) == ()


def test_an_unpacked_data_set_is_known_by_its_name():
    folder = cache_folder.kind_folder("tfds") / KEY
    folder.mkdir()
    note(folder, ["tfds:beans"])
    assert data_of([f"{folder}/ab/1.jpg", f"{folder}/cd/2.jpg"]) == ("tfds:beans",)


def test_the_latest_data_come_first_and_parts_of_others_are_left_out(tmp_path):
    note(tmp_path, ["/a/train"], "net at 64 px")
    note(tmp_path, ["/b"])
    note(tmp_path, ["/a"])
    assert read(tmp_path) == About("net at 64 px", ("/a", "/b"))
    for i in range(20):
        note(tmp_path, [f"/c{i}"])
    assert len(read(tmp_path).data) == about_entry.MOST
    assert read(tmp_path).data[0] == "/c19"


def test_what_is_known_already_is_not_written_again(tmp_path):
    note(tmp_path, ["/a"], "net")
    before = (tmp_path / about_entry.FILE).stat().st_mtime_ns
    note(tmp_path, ["/a"], "net")
    assert (tmp_path / about_entry.FILE).stat().st_mtime_ns == before


def test_an_entry_that_is_gone_is_not_made(tmp_path):
    note(tmp_path / "gone", ["/a"])
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"network": 1, "data": []}', '{"data": "x"}', "[" * 100_000, "null"]
)
def test_a_damaged_note_says_nothing(tmp_path, text):
    (tmp_path / about_entry.FILE).write_text(text)
    assert read(tmp_path) == About()


def test_the_listing_says_which_data_and_which_network():
    folder = put("features", KEY, 100, 0)
    note(folder, ["/home/me/my photos"], "efficientnet_lite0 at 64 px, augmented view 2")
    out = tl("cache").stdout
    assert "features by efficientnet_lite0 at 64 px, augmented view 2, of /home/me/my photos" in (
        " ".join(out.split())
    )
    entry = listed()["features", KEY]
    assert entry["network"] == "efficientnet_lite0 at 64 px, augmented view 2"
    assert entry["data"] == ["/home/me/my photos"]


def test_names_that_a_terminal_would_obey_are_text():
    folder = put("images", "64px-1-2", 100, 0)
    note(folder, ["/a/\x1b[2J[bold]"])
    assert "/a/\\x1b[2J[bold]" in tl("cache").stdout


def test_a_note_even_half_written_goes_with_its_entry():
    folder = put("features", KEY, 100, 0)
    note(folder, ["/a"])
    (folder / f".{about_entry.FILE}.123").write_text("{")
    assert cache.strangers() == []
    cache.clear()
    assert not folder.exists()


def test_a_scan_that_keeps_pixels_says_of_which_images(image_folder):
    root = image_folder(size=(32, 32))
    scan(str(root), cache=cache_folder.folder(), keep=32)
    [images] = [entry for entry in cache.entries() if entry.kind == "images"]
    assert images.about.data == (str(root),)
    assert json.loads((images.path / about_entry.FILE).read_text())["network"] == ""


def test_a_line_is_never_broken_within_a_path():
    folder = put("features", KEY, 100, 0)
    path = "/home/somebody/with a long/" + "and longer " * 9 + "path"
    note(folder, [path], "net")
    lines = tl("cache").stdout.splitlines()
    assert any(path in line for line in lines)
    assert all(line == line.rstrip() for line in lines)
