"""Where the classes, the splits and the masks lie in folders of other people's."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from test_folders import filled, labels, manifest_of
from tl_cli.data.scan import scan
from tl_cli.data.sources.entries import HIDDEN
from tl_cli.data.sources.inputs import named_images
from tl_cli.data.sources.split_names import mixed, splits_of
from tl_cli.errors import TLError

BOTH = ("cat", "dog")


def below(*parents: str, then: str = "") -> list[str]:
    """Return a folder for each class in each parent."""
    return [f"{parent}/{name}{then}" for parent in parents for name in BOTH]


def refused(root: Path, *folders: str) -> str:
    with pytest.raises(TLError) as caught:
        manifest_of(root, *folders)
    assert caught.value.hint
    return f"{caught.value.message} | {caught.value.hint}"


OPEN = {("", name) for name in BOTH}
SPLIT = {(split, name) for split in ("train", "test") for name in BOTH}


@pytest.mark.parametrize(
    ("folders", "expected", "note"),
    [
        (below(".", then="/images"), OPEN, ""),
        ([*below(".", then="/images"), *below(".", then="/masks")], OPEN, "masks within"),
        ([*below("images"), *below("masks")], OPEN, "'masks', left out"),
        ([*below("train/images"), *below("train/masks")], {("train", c) for c in BOTH}, ""),
        ([*below(".", then="/train"), *below(".", then="/test")], SPLIT, "within the classes"),
        (below("flowers_train", "flowers_test"), SPLIT, "'flowers_test' is taken for the test"),
        (below("train_flowers", "test_flowers"), SPLIT, "'train_flowers' is taken for the train"),
        ([*below("train"), "test/unknown"], {("train", c) for c in BOTH}, "all in 'unknown'"),
        ([*below("train"), "test/0"], {("train", c) for c in BOTH}, "all in '0'"),
        ([*below("train", "test"), "train/unlabeled"], SPLIT, "'unlabeled' has no labels"),
        ([*BOTH, "unlabelled"], OPEN, "'unlabelled' has no labels"),
        (["bus", "car", "train/steam", "train/diesel"], {("", c) for c in ("bus", "car", "train")},
         ""),
        (["train/0", "train/1", "test/0"], {("train", "0"), ("train", "1"), ("test", "0")}, ""),
        (["cat/2024/may", "cat/2024/june", "dog/2023/may"], OPEN, ""),
    ],
)  # fmt: skip
def test_layouts(
    tmp_path: Path, folders: list[str], expected: set[tuple[str, str]], note: str
) -> None:
    manifest = manifest_of(tmp_path, *folders)
    assert set(labels(manifest)) == expected
    assert any(note in text for text in manifest.notes) or not note


@pytest.mark.parametrize("folder", ["cat/2024/may", "cat/camera-3/raw", "images/cat", "cat"])
def test_one_class_is_named_for_the_folder_that_says_what_it_shows(
    tmp_path: Path, folder: str
) -> None:
    assert scan(str(filled(tmp_path, folder)), least_classes=1).classes == ("cat",)


def test_a_chain_that_parts_by_date_is_one_class(tmp_path: Path) -> None:
    assert set(labels(manifest_of(tmp_path, "cat/2024/may", "cat/2024/june"))) == {("", "cat")}


def test_names_of_split_and_class_in_one_are_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, "train_cat", "train_dog", "test_cat", "test_dog")
    assert "say both split and class" in said and "train/cat" in said
    assert mixed(["trainA", "trainB", "testA", "testB"])
    assert not mixed(["train station", "bus station"])
    assert splits_of(["train station", "bus station", "test tube"]) == {}


def test_bare_images_are_answered_with_the_table_that_lies_beside_them(tmp_path: Path) -> None:
    filled(tmp_path, "train")
    (tmp_path / "sample_submission.csv").write_text("id,breed\n0,pug\n")
    (tmp_path / "train.csv").write_text("id,breed\n0,pug\n1,poodle\n")
    option = f"--data {tmp_path / 'train.csv'} --columns path=id,label=breed"
    assert option in refused(tmp_path)
    assert option in refused(tmp_path / "train"), "the table lies above the images"
    (tmp_path / "train.csv").unlink()
    assert "train/cat/" in refused(tmp_path)


def test_boxes_of_objects_are_told_from_classes(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        filled(tmp_path, f"{split}/images")
        (tmp_path / split / "labels").mkdir()
        (tmp_path / split / "labels" / "0.txt").write_text("0 .5 .5 .1 .1")
    assert "'labels' holds boxes or outlines of objects, which are no classes" in refused(tmp_path)


def test_masks_beside_the_pictures_are_left_out_with_their_number(tmp_path: Path) -> None:
    for file in sorted(filled(tmp_path, *BOTH).rglob("*.png")):
        shutil.copy(file, file.with_name(f"{file.stem}_mask.png"))
        shutil.copy(file, file.with_name(f"{file.stem}_mask_1.png"))
    manifest = manifest_of(tmp_path)
    assert len(manifest.records) == 4
    assert any("8 files named as the mask of another one" in note for note in manifest.notes)


def test_what_storage_devices_leave_is_no_image(tmp_path: Path) -> None:
    filled(tmp_path, *BOTH, "cat/@eaDir/1.png", "$RECYCLE.BIN")
    assert labels(manifest_of(tmp_path)) == {("", "cat"): 2, ("", "dog"): 2}


def test_an_empty_class_is_told_where_only_one_is_left(tmp_path: Path) -> None:
    filled(tmp_path, "cat")
    (tmp_path / "dog").mkdir()
    with pytest.raises(TLError, match="only one class, 'cat'; class 'dog' has no images"):
        scan(str(tmp_path))
    (tmp_path / "dog" / "0.png").write_bytes(b"")
    with pytest.raises(TLError, match=r"1 file cannot be used: .*0\.png' is empty"):
        scan(str(tmp_path))


def test_hidden_images_are_counted_for_predict(tmp_path: Path) -> None:
    filled(tmp_path, "a", "a/b/c")
    (tmp_path / "a" / "b" / ".1.png").write_bytes(b"")
    others: Counter[str] = Counter()
    assert len(named_images([str(tmp_path)], left_out=others)) == 4
    assert others == {HIDDEN: 1}
