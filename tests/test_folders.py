"""How people's image folders look: split names, where the classes lie, what tl itself wrote."""

from __future__ import annotations

import os
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from conftest import picture
from tl_cli.data.inspection.findings import _left_out
from tl_cli.data.listing import listed
from tl_cli.data.manifest import Manifest, Options
from tl_cli.data.scan import scan
from tl_cli.data.sources import entries as folders
from tl_cli.data.sources.split_names import split_of
from tl_cli.errors import TLError
from tl_cli.store.marker import MARKER, make_marked


def filled(root: Path, *folders: str) -> Path:
    """Put two pictures into each folder."""
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(2):
            picture(2 * number + i).save(root / folder / f"{i}.png")
    return root


def manifest_of(root: Path, *folders: str) -> Manifest:
    return listed(str(filled(root, *folders)), Options())


def labels(manifest: Manifest) -> Counter[tuple[str, str]]:
    return Counter((r.split, r.label) for r in manifest.records)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((n, "train") for n in ("Training", "train_images", "train_set", "trainset", "TRAIN")),
        *((n, "train") for n in ("01_train", "images_train", "seg_train", "TrainingData")),
        *((n, "train") for n in ("X_train", "my_train", "train-val", "train (1)", "train_224")),
        *((n, "val") for n in ("Validation", "valid", "dev", "eval", "val-set")),
        *((n, "test") for n in ("Testing", "test-data", "holdout", "hold-out", "Test Set", "tst")),
        *((n, "") for n in ("trainer", "test tube", "cat", "latest", "invalid", "images")),
    ],
)
def test_split_names(name: str, split: str) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("train", "test"), [("Training", "Testing"), ("seg_train/seg_train", "seg_test/seg_test")]
)
def test_usual_split_names_are_splits_with_a_note(tmp_path: Path, train: str, test: str) -> None:
    manifest = manifest_of(tmp_path, *(f"{s}/{c}" for s in (train, test) for c in ("cat", "dog")))
    assert set(labels(manifest)) == {(s, c) for s in ("train", "test") for c in ("cat", "dog")}
    assert any(repr(train.split("/")[0]) in note for note in manifest.notes)


def test_a_test_folder_beside_classes_is_the_test_split(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, "cat", "dog", "test/cat", "test/dog")
    assert set(labels(manifest)) == {(s, c) for s in ("", "test") for c in ("cat", "dog")}
    assert any("'test'" in note for note in manifest.notes)


@pytest.mark.parametrize("classes", [("cat", "dog"), ("train/cat", "train/dog")])
@pytest.mark.parametrize("test", ["test", "test/images"])
def test_an_unlabelled_test_folder_is_left_out(
    tmp_path: Path, classes: tuple[str, ...], test: str
) -> None:
    manifest = manifest_of(tmp_path, *classes, test)
    assert {r.label for r in manifest.records} == {"cat", "dog"}
    assert any("'test' has no labels (2 images" in note for note in manifest.notes)


def test_classes_that_hold_the_same_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TLError, match="hold the same folders") as caught:
        manifest_of(tmp_path, *(f"{s}/{c}" for s in ("siteA", "siteB") for c in ("cat", "dog")))
    assert str(tmp_path / "siteA") in str(caught.value.hint)


def test_classes_by_year_are_classes(tmp_path: Path) -> None:
    paths = (f"{c}/{y}" for c in ("cat", "dog") for y in (2023, 2024))
    assert set(labels(manifest_of(tmp_path, *paths))) == {("", "cat"), ("", "dog")}


def test_single_folders_in_between_are_passed_with_a_note(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, "a/dataset/cat", "a/dataset/dog")
    assert set(labels(manifest)) == {("", "cat"), ("", "dog")}
    assert any(str(tmp_path / "a" / "dataset") in note for note in manifest.notes)


def test_images_and_masks_are_not_classes(tmp_path: Path) -> None:
    with pytest.raises(TLError, match="pictures and their masks") as caught:
        manifest_of(tmp_path, "images", "masks")
    assert str(tmp_path / "images") in str(caught.value.hint)


def test_what_tl_wrote_is_left_out(tmp_path: Path) -> None:
    for name in ("inspect", "sorted", "cat/explain"):
        make_marked(tmp_path / name)
    run = filled(tmp_path, "runs/one") / "runs" / "one"
    for name in ("status.json", "config.yaml"):
        (run / name).write_text("{}")
    folders = ("cat", "dog", "inspect", "sorted/cat", "cat/explain")
    manifest = manifest_of(tmp_path, *folders)
    assert labels(manifest) == {("", "cat"): 2, ("", "dog"): 2}
    assert "4 folders that tl wrote (runs, reports): left out" in manifest.notes


def test_a_folder_of_the_users_is_never_marked(tmp_path: Path) -> None:
    make_marked(filled(tmp_path, "cat") / "cat")
    assert not (tmp_path / "cat" / MARKER).exists()


def test_pipes_sockets_and_loops_never_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, "cat", "dog")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    monkeypatch.chdir(tmp_path / "dog")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dog" / "up").symlink_to(tmp_path)
    (tmp_path / "null.png").symlink_to("/dev/null")
    manifest = listed(str(tmp_path), Options())
    assert {r.label for r in manifest.records} == {"cat", "dog"}
    assert sum("not a regular file" in bad.reason for bad in manifest.bad) >= 2


def test_a_note_on_the_layout_is_not_told_as_left_out(tmp_path: Path) -> None:
    folders = [f"{s}/{c}" for s in ("Training", "Testing") for c in ("cat", "dog")]
    scanned = scan(str(filled(tmp_path, *folders)))
    kinds = {f.text: f.kind for f in _left_out(scanned)}
    assert kinds["the folder 'Training' is taken for the train split"] == "layout"


def test_a_folder_that_is_very_deep_is_walked(tmp_path):
    """Deeper than Python recurses; beyond the system's longest path it is said of the folder."""
    place, depth = tmp_path / "deep", 1_200
    place.mkdir()
    here = os.open(place, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        assert list(folders.walk(str(place), set(), Counter())) == []
    finally:  # pytest's own cleaning up recurses
        subprocess.run(["rm", "-rf", str(place)], check=True)


def test_a_link_to_a_device_is_no_broken_link(tmp_path):
    (tmp_path / "a.jpg").symlink_to("/dev/zero")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere")
    reasons = dict(folders.walk(str(tmp_path), set(), Counter()))
    assert reasons[str(tmp_path / "a.jpg")] == "is not a regular file"
    assert reasons[str(tmp_path / "b.jpg")] == "is a broken link"
