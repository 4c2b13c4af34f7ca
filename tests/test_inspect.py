"""`tl inspect`: what is found in a folder, how grave it is, what it means, and the pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from conftest import picture
from tl_cli.cli.app import app
from tl_cli.data import inspection
from tl_cli.data.csv_io import write_csv
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_splits
from tl_cli.report import labels

KEYS = {
    "source", "task", "images", "classes", "counts", "drawn_splits", "images_per_class", "sizes",
    "modes", "exif_rotated", "largest_class", "smallest_class", "imbalance", "majority_baseline",
    "labels_an_image", "numbers", "training_images", "effective_size", "size_kind", "image_size",
    "backbone", "bad_files", "exact_duplicates", "near_duplicates", "findings", "wrong",
}  # fmt: skip


def tl(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def told(*arguments: object) -> dict:
    done = tl("inspect", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def kinds(found: dict) -> dict[str, str]:
    return {finding["kind"]: finding["severity"] for finding in found["findings"]}


def finding(found: dict, kind: str) -> dict:
    (one,) = (f for f in found["findings"] if f["kind"] == kind)
    return one


@pytest.fixture
def splits(image_folder) -> Path:
    """A clean folder with train and test above its classes."""
    image_folder(n=10, under="train")
    return image_folder(n=3, under="test")


def large(seed: int) -> Image.Image:
    """A picture large and lively enough to have near duplicates."""
    return picture(seed, (96, 72))


def test_a_clean_folder_passes_the_strict_look(image_folder):
    folder = image_folder(n=10)
    done = tl("inspect", folder, "--strict")
    assert done.exit_code == 0, done.output
    assert "20 images, 2 classes" in done.stdout
    assert "Nothing is wrong." in done.stdout
    found = told(folder)
    assert found["findings"] == [] and not found["wrong"]


def test_the_figures(image_folder):
    folder = image_folder(("cat", "dog"), n=6, size=(24, 16))
    image_folder(("dog",), n=6, size=(60, 40))  # replaces the dogs
    picture(99, (100, 50)).convert("L").save(folder / "dog" / "grey.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(98, (40, 30)).save(folder / "dog" / "turned.jpg", exif=turned)  # 30 x 40, upright
    found = told(folder)
    assert set(found) == KEYS
    assert (found["images"], found["classes"]) == (14, ["cat", "dog"])
    assert found["images_per_class"] == {"min": 6, "median": 7, "mean": 7, "max": 8}
    assert found["sizes"] == {
        "width": {"min": 24, "median": 45, "max": 100},
        "height": {"min": 16, "median": 40, "max": 50},
        "shorter_side": {"min": 16, "median": 35, "max": 50},
    }
    assert found["modes"] == {"RGB": 13, "L": 1}
    assert found["exif_rotated"] == 1
    assert (found["largest_class"], found["smallest_class"]) == ("dog", "cat")
    assert found["imbalance"] == pytest.approx(8 / 6)
    assert found["majority_baseline"] == pytest.approx(8 / 14)
    assert found["image_size"] == 160  # five times the shorter side, in multiples of 32
    assert kinds(found) == {"exif_rotated": "note", "modes": "note"}


def test_counts_are_those_of_the_training(splits):
    found = told(splits)
    assert found["drawn_splits"] == ["val"]
    counts = found["counts"]
    assert counts["test"] == {"cat": 3, "dog": 3}
    assert all(counts["train"][c] + counts["val"][c] == 10 for c in ("cat", "dog"))
    assert found["training_images"] == sum(counts["train"].values())
    assert found["size_kind"] == "tiny"


def test_the_images_count_no_more_than_a_hundred_times_those_of_a_class():
    records = tuple(
        Record(f"{c}{i}", c, "train", digest=f"{c}{i}", width=9, height=9, mode="RGB")
        for c, n in (("a", 3), ("b", 3), ("c", 900))
        for i in range(n)
    )
    many = Manifest("x", ("a", "b", "c"), records)
    assert inspection.inspect(many, many).training.effective_size == 300


def test_a_leak_is_wrong(splits):
    shutil.copy(splits / "test/cat/00.png", splits / "train/cat/copy.png")
    done = tl("inspect", splits, "--strict")
    assert done.exit_code == 1
    assert "leaves the copies out" in " ".join(done.stdout.split())
    assert "1 thing is wrong." in done.stdout
    found = told(splits)
    assert kinds(found)["leak"] == "wrong"
    assert finding(found, "leak")["examples"] == ["'cat/00.png' (test) and 'cat/copy.png' (train)"]
    (group,) = found["exact_duplicates"]
    assert {image["split"] for image in group} == {"train", "test"}
    trained = sum(sum(found["counts"][split].values()) for split in ("train", "val"))
    assert trained == 20  # the copy is out, as was said


def test_an_edited_copy_in_another_split_is_wrong(splits):
    large(1).save(splits / "train/cat/a.png")
    large(1).resize((80, 60)).save(splits / "test/cat/b.jpg", quality=80)
    assert tl("inspect", splits, "--strict").exit_code == 1
    found = told(splits)
    assert kinds(found) == {"near_leak": "wrong"}
    assert len(found["near_duplicates"]) == 1


def test_bad_files_are_wrong_and_all_are_named(image_folder):
    folder = image_folder(n=8)
    for i in range(7):
        (folder / "cat" / f"bad{i}.jpg").write_bytes(b"")
    done = tl("inspect", folder, "--strict")
    assert done.exit_code == 1
    assert "'cat/bad0.jpg' is empty" in done.stdout
    assert "and 2 more; --json names all" in done.stdout
    found = told(folder)
    assert kinds(found) == {"bad_files": "wrong"}
    assert [Path(b["path"]).name for b in found["bad_files"]] == [f"bad{i}.jpg" for i in range(7)]
    assert len(finding(found, "bad_files")["examples"]) == 7


def test_conflicting_labels_are_wrong(image_folder):
    folder = image_folder(n=8)
    shutil.copy(folder / "cat/00.png", folder / "dog/copy.png")
    done = tl("inspect", folder, "--strict")
    assert done.exit_code == 1
    assert "'cat/00.png' (cat) and 'dog/copy.png' (dog)" in done.stdout
    assert kinds(told(folder)) == {"conflict": "wrong"}


def test_a_group_in_two_splits_is_wrong(image_folder):
    folder = image_folder(n=5)
    rows = [f"{c}/{i:02d}.png,{c},{'test' if i < 2 else 'train'},g{max(i, 1)}"
            for c in ("cat", "dog") for i in range(5)]  # fmt: skip
    table = folder / "all.csv"
    table.write_text("\n".join(["path,label,split,group", *rows]))
    assert "group_leak" not in kinds(told(table))
    table.write_text(table.read_text().replace("train,g2", "train,g1"))
    assert kinds(told(table))["group_leak"] == "wrong"
    assert tl("inspect", table, "--strict").exit_code == 1


def test_copies_and_near_copies_in_one_class_are_notes(image_folder):
    folder = image_folder(n=8)
    shutil.copy(folder / "cat/00.png", folder / "cat/copy.png")
    large(1).save(folder / "dog/a.png")
    large(1).resize((80, 60)).save(folder / "dog/b.jpg", quality=80)
    assert tl("inspect", folder, "--strict").exit_code == 0
    assert kinds(told(folder)) == {"copies": "note", "near_duplicates": "note"}


def test_near_copies_are_not_parted_by_the_drawn_split(image_folder):
    folder = image_folder(n=8)
    for i in range(12):
        large(i).save(folder / f"dog/{i}.png")
        large(i).resize((80, 60)).save(folder / f"dog/{i}.jpg", quality=80)
    split = assign_splits(scan(str(folder)))
    drawn = {Path(r.path).name: r.split for r in split.records if r.label == "dog"}
    assert set(drawn.values()) == {"train", "val"}
    assert all(drawn[f"{i}.png"] == drawn[f"{i}.jpg"] for i in range(12))
    told_of = finding(told(folder), "near_duplicates")
    assert told_of["count"] == 12
    assert "the split and the folds keep them together" in told_of["meaning"]


def test_near_copies_with_different_labels_are_a_note(image_folder):
    folder = image_folder(n=8)
    large(1).save(folder / "dog/a.png")
    large(1).resize((80, 60)).save(folder / "cat/b.jpg", quality=80)
    assert kinds(told(folder)) == {"near_conflict": "note"}


def test_a_class_that_cannot_be_split_is_told_with_everything_else(image_folder):
    folder = image_folder(n=8)
    image_folder(("fox",), n=1)
    (folder / "cat/bad.jpg").write_bytes(b"")
    done = tl("inspect", folder, "--strict")
    assert done.exit_code == 1
    found = told(folder)
    assert found["counts"] == {"all": {"cat": 8, "dog": 8, "fox": 1}}
    assert kinds(found) == {
        "bad_files": "wrong",
        "cannot_split": "wrong",
        "small_classes": "note",
    }
    assert "'fox' has only one image" in finding(found, "cannot_split")["text"]


def test_one_class_alone_is_wrong(image_folder):
    found = told(image_folder(("cat",), n=8))
    assert kinds(found) == {"one_class": "wrong"}


def test_small_classes_and_imbalance_are_notes(image_folder):
    folder = image_folder(("cat",), n=40)
    image_folder(("dog",), n=4)
    found = told(folder)
    assert kinds(found) == {"small_classes": "note", "imbalance": "note"}
    assert finding(found, "small_classes")["examples"] == ["'dog': 4 images"]


def test_a_class_missing_from_the_test_split_is_a_note(splits):
    shutil.rmtree(splits / "test/dog")
    assert finding(told(splits), "unmeasured")["examples"] == ["'dog'"]


def test_long_images_and_what_is_left_out_are_notes(image_folder):
    folder = image_folder(n=8)
    picture(77, (90, 30)).save(folder / "cat/long.png")
    (folder / "cat/notes.txt").write_text("x")
    found = told(folder)
    assert kinds(found) == {"elongated": "note", "left_out": "note"}
    assert finding(found, "elongated")["examples"] == ["'cat/long.png': 90 x 30"]
    assert ".txt" in finding(found, "left_out")["text"]


def test_every_finding_says_what_it_means(splits):
    shutil.copy(splits / "test/cat/00.png", splits / "train/dog/copy.png")
    (splits / "train/cat/bad.png").write_text("<html>")
    found = told(splits)
    assert len(found["findings"]) == 3
    assert all(f["meaning"].endswith(".") and f["count"] == 1 for f in found["findings"])


def test_the_manifest_of_a_run_can_be_looked_at(splits, tmp_path):
    split = assign_splits(scan(str(splits)))
    write_csv(split, tmp_path / "manifest.csv")
    found = told(tmp_path / "manifest.csv")
    assert found["drawn_splits"] == []
    assert found["counts"]["val"] == split.counts("val")


def test_names_of_any_kind_are_shown(image_folder):
    names = ("[bold]cat", "犬", "two\nlines", "br\udcffken")
    done = tl("inspect", image_folder(names, n=5))
    assert done.exit_code == 0, done.output
    for shown in ("[bold]cat", "犬", "two\\nlines", "br\\udcffken"):
        assert shown in done.stdout


@pytest.mark.filterwarnings("error")
def test_pictures_are_drawn_of_names_of_any_kind(image_folder, tmp_path):
    names = ("$a$ [b] $c$", "猫", "犬", "two\nlines", "br\udcffken", "long " * 30)
    folder, out = image_folder(names, n=5), tmp_path / "new" / "pictures"
    done = tl("inspect", folder, "--plots", "--output", out)
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in out.glob("[!.]*")) == ["classes.png", "samples.png", "sizes.png"]
    for path in out.glob("[!.]*"):
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 5  # not empty
        assert str(path.name) in done.stderr


def test_names_in_pictures_are_short_and_can_be_told_apart():
    shown = labels(["猫", "犬", "cat", "$a$ $b$", "long " * 30])
    assert len(set(shown)) == 5
    assert shown[2:4] == ["cat", r"\$a\$ \$b\$"]
    assert all(name.isascii() for name in shown[:2])
    assert len(shown[4]) <= 28


@pytest.mark.long
def test_five_hundred_classes_are_drawn_and_shown(image_folder, tmp_path):
    folder = image_folder([f"c{i:03d}" for i in range(500)], n=2, size=(8, 8))
    done = tl("inspect", folder, "--plots", "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) < 60
    for path in (tmp_path / "out").glob("[!.]*"):
        with Image.open(path) as image:
            assert max(image.size) < 5000


@pytest.mark.parametrize("level", ["none", "strong"])
def test_augmentation_is_drawn(image_folder, tmp_path, monkeypatch, level):
    monkeypatch.chdir(tmp_path)
    done = tl("inspect", image_folder(n=6), "--augment", level)
    assert done.exit_code == 0, done.output
    assert [p.name for p in (tmp_path / "inspect").glob("[!.]*")] == ["augment.png"]


def test_the_variants_are_those_of_the_level(image_folder):
    from tl_cli.engine.images import preview

    scanned = scan(str(image_folder(("a", "b", "c"), n=6)))
    chosen = preview.chosen(scanned)
    assert len(chosen) == len({r.path for r in chosen}) == 8
    assert {r.label for r in chosen} == {"a", "b", "c"}
    plain = preview.variants(chosen, 32, "none")
    assert plain.shape == (8, 7, 32, 32, 3) and plain.dtype == np.uint8
    assert (plain == plain[:, :1]).all()
    light, strong = (preview.variants(chosen, 32, level) for level in ("light", "strong"))
    for drawn in (light, strong):
        assert (drawn[:, 0] == plain[:, 0]).all()
        assert all((drawn[i, j] != drawn[i, 0]).any() for i in range(8) for j in range(1, 7))
    change = [np.abs(d[:, 1:].astype(float) - d[:, :1]).mean() for d in (light, strong)]
    assert change[0] < change[1]


def test_of_many_classes_the_images_drawn_are_spread(image_folder):
    from tl_cli.engine.images import preview

    scanned = scan(str(image_folder([f"c{i:02d}" for i in range(24)], n=2)))
    assert [r.label for r in preview.chosen(scanned)] == [f"c{i:02d}" for i in range(0, 24, 3)]


def test_a_place_that_cannot_be_written_to_is_one_sentence(image_folder, tmp_path):
    (tmp_path / "file").write_text("")
    done = tl("inspect", image_folder(), "--plots", "--output", tmp_path / "file" / "out")
    assert done.exit_code == 1
    assert "cannot write to" in done.stderr and "--output" in done.stderr


def test_mistakes(image_folder):
    assert tl("inspect").exit_code == 2
    assert tl("inspect", image_folder(), "--output", "x").exit_code == 2
    done = tl("inspect", image_folder(), "--augment", "storng")
    assert done.exit_code == 1
    assert "did you mean 'strong'?" in done.stderr
