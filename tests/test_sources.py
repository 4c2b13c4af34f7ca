"""What is listed from folders, tables, tfds datasets and samples, and what is refused, how."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conftest import ImageFolder, picture, table
from tl_cli.data.csv_io import bad_csv_text, read_csv, write_csv
from tl_cli.data.decode import open_rgb
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.scan import scan
from tl_cli.data.sources import samples
from tl_cli.data.split import assign_splits
from tl_cli.errors import TLError


def refused(source: object, **options: object) -> str:
    """Return the one sentence and the hint that a source is refused with."""
    with pytest.raises(TLError) as caught:
        scan(str(source), **options)  # type: ignore[arg-type]
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return f"{caught.value.message} | {caught.value.hint}"


# ---------------------------------------------------------------- folders


def test_a_folder_of_classes_with_folders_below_them(image_folder: ImageFolder) -> None:
    folder = image_folder(("猫", "a dog"), n=2)
    (folder / "a dog" / "2024" / "may").mkdir(parents=True)
    picture(50).save(folder / "a dog" / "2024" / "may" / "x.PNG")
    manifest = scan(str(folder))
    assert manifest.classes == ("a dog", "猫")
    assert manifest.counts() == {"a dog": 3, "猫": 2}
    assert {r.split for r in manifest.records} == {""}
    assert all(Path(r.path).is_absolute() for r in manifest.records)


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_a_folder_with_splits_above_the_classes(image_folder: ImageFolder, name: str) -> None:
    image_folder(under="train", n=3)
    image_folder(under=name, n=2)
    folder = image_folder(under="test", n=1)
    (folder / "notes").mkdir()
    manifest = scan(str(folder))
    assert manifest.classes == ("cat", "dog")
    assert Counter(r.split for r in manifest.records) == {"train": 6, "val": 4, "test": 2}
    assert "left out, beside the splits: 'notes'" in manifest.notes


def test_a_class_may_be_called_train(image_folder: ImageFolder) -> None:
    manifest = scan(str(image_folder(("bus", "train", "car"))))
    assert manifest.classes == ("bus", "car", "train")
    assert {r.split for r in manifest.records} == {""}


def test_splits_that_hold_images_directly_are_not_taken_for_classes(
    image_folder: ImageFolder,
) -> None:
    assert "'test', 'train' in" in refused(image_folder(("train", "test")))


def test_what_is_not_an_image_by_name_is_no_bad_file(image_folder: ImageFolder) -> None:
    folder = image_folder()
    for name in ("labels.txt", "a.csv", ".DS_Store", "Thumbs.db", "README.md", "LICENSE"):
        (folder / "cat" / name).write_text("hello")
    (folder / "cat" / ".hidden").mkdir()
    picture(60).save(folder / "cat" / ".hidden" / "x.png")
    picture(61).save(folder / ".thumb.png")
    (folder / ".git").mkdir()
    manifest = scan(str(folder), bad_images="error")
    assert len(manifest.records) == 8
    assert manifest.classes == ("cat", "dog")
    [note] = [note for note in manifest.notes if "no images by their name" in note]
    assert ".csv (1)" in note
    assert "DS_Store" not in note


def test_images_outside_the_class_folders_and_empty_classes_are_told(
    image_folder: ImageFolder,
) -> None:
    folder = image_folder()
    picture(62).save(folder / "loose.png")
    (folder / "owl").mkdir()
    manifest = scan(str(folder))
    assert manifest.classes == ("cat", "dog")
    assert any("1 image directly in" in note for note in manifest.notes)
    assert "class 'owl' has no images: left out" in manifest.notes


def test_links_are_followed_once_and_loops_end(image_folder: ImageFolder, tmp_path: Path) -> None:
    folder = image_folder()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    picture(63).save(elsewhere / "linked.png")
    (folder / "cat" / "more").symlink_to(elsewhere)
    (folder / "cat" / "again").symlink_to(elsewhere)
    (folder / "cat" / "up").symlink_to(folder)
    (folder / "cat" / "self").symlink_to(folder / "cat")
    (folder / "cat" / "itself.png").symlink_to(folder / "cat" / "itself.png")
    (folder / "cat" / "broken.png").symlink_to(folder / "nowhere.png")
    (folder / "cat" / "file.png").symlink_to(elsewhere / "linked.png")
    manifest = scan(str(folder))
    assert manifest.counts() == {"cat": 4 + 1 + 1, "dog": 4}
    assert {Path(b.path).name: b.reason for b in manifest.bad} == {
        "itself.png": "is a broken link",
        "broken.png": "is a broken link",
    }


def test_a_pipe_named_as_an_image_is_not_waited_for(image_folder: ImageFolder) -> None:
    folder = image_folder()
    os.mkfifo(folder / "cat" / "pipe.jpg")
    (folder / "cat" / "folder.jpg").mkdir()
    assert [b.reason for b in scan(str(folder)).bad] == ["is not a regular file"]


@pytest.mark.long
def test_500_classes(image_folder: ImageFolder) -> None:
    folder = image_folder([f"class{i}" for i in range(500)], n=2, size=(4, 4))
    manifest = scan(str(folder))
    assert len(manifest.classes) == 500
    split = assign_splits(manifest)
    assert set(split.counts("train").values()) == set(split.counts("val").values()) == {1}
    assert max(len(note) for note in split.notes) < 300


def test_a_folder_that_is_missing_empty_or_of_one_class(
    image_folder: ImageFolder, tmp_path: Path
) -> None:
    folder = image_folder()
    assert "did you mean 'data'?" in refused(tmp_path / "dta")
    assert f"'{tmp_path}' is there" in refused(tmp_path / "no" / "such" / "folder")
    assert "no data" in refused("")
    assert refused("x" * 5000)
    assert refused("zero\0byte")
    (tmp_path / "empty").mkdir()
    assert "is empty" in refused(tmp_path / "empty")
    assert "8 images" not in refused(folder / "cat")
    assert "4 images directly, but no class folders" in refused(folder / "cat")
    picture(1).save(tmp_path / "one.png")
    assert "its ending is '.png'" in refused(tmp_path / "one.png")
    (tmp_path / "texts" / "cat").mkdir(parents=True)
    assert "no images in" in refused(tmp_path / "texts")
    (tmp_path / "texts" / "cat" / "a.txt").write_text("x")
    assert "found instead: .txt (1)" in refused(tmp_path / "texts")
    (tmp_path / "texts" / "cat" / "a.jpg").write_text("x")
    assert "none of the images" in refused(tmp_path / "texts")


def test_one_class_is_refused_unless_the_caller_can_use_it(image_folder: ImageFolder) -> None:
    folder = image_folder(("cat",))
    assert "has only one class, 'cat'" in refused(folder)
    assert scan(str(folder), least_classes=1).classes == ("cat",)
    (folder / "dog").mkdir()
    (folder / "dog" / "bad.jpg").write_bytes(b"")
    assert "has only one class, 'cat'" in refused(folder)


def test_a_class_of_one_image_is_told_by_the_scan_and_refused_by_the_split(
    image_folder: ImageFolder,
) -> None:
    image_folder(("cat", "dog"), n=6)
    manifest = scan(str(image_folder(("owl",), n=1)))
    assert any("too few to measure: 'owl' (1)" in note for note in manifest.notes)
    with pytest.raises(TLError, match="class 'owl' has only one image"):
        assign_splits(manifest)


def test_an_unknown_kind_of_source() -> None:
    assert "did you mean 'tfds:'?" in refused("tdfs:cats")
    assert "valid: tfds:, sample:" in refused("ftp://example.org/cats.zip")
    assert "unknown sample 'digitz': did you mean 'digits'?" in refused("sample:digitz")
    assert "unknown value for bad_images 'skp'" in refused("sample:digits", bad_images="skp")


# ---------------------------------------------------------------- sample:things, sample:digits


def test_sample_things_are_photographs_each_with_its_author_and_source() -> None:
    records = scan("sample:things").records
    assert Counter(r.label for r in records) == {
        "animal": 24, "fish": 28, "monument": 52, "tool": 38, "windmill": 14,
    }  # fmt: skip
    assert Counter(r.label for r in records if r.split == "test") == {
        "animal": 6, "fish": 7, "monument": 13, "tool": 10, "windmill": 3,
    }  # fmt: skip
    assert max(open_rgb(records[0]).size) == 160
    with (samples.THINGS / "ORIGINS.csv").open(encoding="utf-8", newline="") as file:
        origins = list(csv.DictReader(file))
    files = sorted(p.relative_to(samples.THINGS).as_posix() for p in samples.THINGS.rglob("*.webp"))
    assert sorted(row["file"] for row in origins) == files
    assert {row["licence"] for row in origins} == {"CC0-1.0", "Public Domain"}
    assert all(row["author"] and row["source"].startswith("http") for row in origins)


def test_sample_digits_are_the_real_digits_with_a_fixed_test_set() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    manifest = scan("sample:digits")
    assert len(manifest.records) == 1797
    assert [int(r.label) for r in manifest.records] == digits.target.tolist()
    shown = open_rgb(manifest.records[42])
    assert (shown.mode, shown.size) == ("RGB", (8, 8))
    wanted = [round(p * 255 / 16) for p in digits.images[42].ravel()]
    assert list(shown.getchannel("G").tobytes()) == wanted
    assert 0.17 < len(manifest.of("test")) / 1797 < 0.23
    assert scan("sample:digits") == manifest
    with pytest.raises(TLError, match="no image"):
        open_rgb(Record("sample:digits/1797", ""))


# ---------------------------------------------------------------- tables


ROWS = [("cat/00.png", "cat", "train", "a"), ("dog/00.png", "dog", "valid", "b")]


def test_the_same_rows_from_csv_tsv_jsonl_and_parquet(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    header = ("path", "label", "split", "group")
    plain = "\n".join(",".join(row) for row in (header, *ROWS))
    dicts = [dict(zip(header, row, strict=True)) for row in ROWS]
    parquet.write_table(pyarrow.Table.from_pylist(dicts), folder / "t.parquet")
    files = [
        table(folder, plain),
        table(folder, "\ufeff" + plain.replace("\n", "\r\n"), "bom_crlf.csv"),
        table(folder, plain.replace(",", ";"), "semicolon.csv"),
        table(folder, plain.replace(",", "\t") + "\n\n", "t.tsv"),
        table(folder, "\n".join(json.dumps(row) for row in dicts), "t.jsonl"),
        folder / "t.parquet",
    ]
    for file in files:
        manifest = scan(str(file))
        found = [(r.path, r.label, r.split, r.group) for r in manifest.records]
        assert found == [
            (str(folder / "cat/00.png"), "cat", "train", "a"),
            (str(folder / "dog/00.png"), "dog", "val", "b"),
        ], file
        assert not manifest.bad


def test_columns_may_have_other_names(folder: Path) -> None:
    file = table(folder, "file,what,label\ncat/00.png,Cat,7\ndog/00.png,Dog,8\n")
    manifest = scan(str(file), columns={"path": "file", "label": "what"})
    assert manifest.classes == ("Cat", "Dog")
    said = refused(file, columns={"path": "fil", "label": "what"})
    assert "'labels.csv' has no column 'fil': did you mean 'file'?" in said
    assert "no column 'path'" in refused(file)
    assert "no column 'person'" in refused(file, columns={"path": "file", "group": "person"})


def test_quotes_commas_and_newlines_in_names(folder: Path) -> None:
    odd = 'a "quoted", name\nof two lines.png'
    picture(70).save(folder / odd)
    with (folder / "odd.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), (odd, "x,y"), ("cat/00.png", 'say "hi"')])
    manifest = scan(str(folder / "odd.csv"))
    assert manifest.classes == ('say "hi"', "x,y")
    assert str(folder / odd) in {r.path for r in manifest.records}


def test_a_missing_file_is_a_bad_file(folder: Path) -> None:
    long = "n" * 300 + ".png"
    text = f"path,label\ncat/00.png,cat\ndog/00.png,dog\ncat/99.png,cat\n{long},dog\ncat,dog\n"
    manifest = scan(str(table(folder, text)))
    reasons = {Path(b.path).name: b.reason for b in manifest.bad}
    assert reasons == {
        "99.png": "does not exist",
        long: "cannot be read (file name too long)",
        "cat": "is a folder",
    }
    assert "'data/99.png'" not in str(manifest.notes)
    assert "'cat/99.png' does not exist" in str(manifest.notes)
    assert "cat/99.png" in refused(folder / "labels.csv", bad_images="error")


def test_a_row_twice_counts_once_and_two_labels_are_an_error(folder: Path) -> None:
    text = "path,label\ncat/00.png,cat\ndog/00.png,dog\ncat/00.png,cat\n"
    manifest = scan(str(table(folder, text)))
    assert len(manifest.records) == 2
    assert "1 row of 'labels.csv' repeat another: left out" in manifest.notes
    said = refused(table(folder, text + "./cat/../cat/00.png,dog\n"))
    assert "lines 2 and 5" in said
    assert "two labels, 'cat' and 'dog'" in said


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.csv", "path,label\na.png,cat\n,dog\n", "line 3: no path"),
        ("t.csv", "path,label\na.png,cat\nb.png,  \n", "line 3: no label"),
        ("t.csv", "path,label\na.png,cat,dog\n", "line 2: 3 cells where the header has 2"),
        ("t.csv", "path,label\na.png\n", "line 2: 1 cell where"),
        ("t.csv", 'path,label\n"a.png,cat\nb.png,dog\n', "line 3: unexpected end of data"),
        (
            "t.csv",
            "path,label,split\na.png,cat,tset\n",
            "unknown split 'tset' (did you mean 'test'?)",
        ),
        ("t.csv", "path,label\n", "lists no images"),
        ("t.csv", "", "lists no images"),
        ("t.csv", b"p\0a\0t\0h\0", "is not a text file in UTF-8"),
        ("t.jsonl", '{"path": "a.png", "label": "cat"}\n{"path": \n', "line 2: not JSON"),
        ("t.jsonl", "[1, 2]\n", "line 1: not a JSON object"),
        ("t.jsonl", '{"path": "a.png", "label": {"a": 1}}\n', "line 1: the label is {'a': 1}"),
        ("t.jsonl", '{"path": "a.png", "label": null}\n', "line 1: no label"),
        ("t.jsonl", '{"path": "a.png"}\n', "no column 'label'"),
        ("t.parquet", "no parquet", "is not a Parquet file"),
    ],
)
def test_a_table_that_cannot_be_understood(
    folder: Path, name: str, text: str | bytes, told: str
) -> None:
    assert told in refused(table(folder, text, name))


def test_labels_that_are_numbers(folder: Path) -> None:
    rows = [{"path": f"cat/0{i}.png", "label": label} for i, label in enumerate((1, 2.0, 10, "x"))]
    manifest = scan(str(table(folder, "\n".join(map(json.dumps, rows)), "t.jsonl")))
    assert manifest.classes == ("1", "10", "2", "x")


def test_a_missing_table_is_a_missing_file(folder: Path) -> None:
    table(folder, "path,label\n")
    assert "no file" in refused(folder / "label.csv")
    assert "did you mean 'labels.csv'?" in refused(folder / "label.csv")


# ---------------------------------------------------------------- manifest.csv


def test_a_run_can_be_repeated_from_its_manifest(folder: Path, tmp_path: Path) -> None:
    picture(80).save(folder / "cat" / 'odd, "name"\n猫.png')
    picture(81).save(os.fsencode(folder / "dog") + b"/not-utf8-\xff.png")
    first = assign_splits(scan(str(folder)), val=0.3, test=0.2)
    file = tmp_path / "manifest.csv"
    write_csv(first, file)
    header = file.read_text(errors="surrogateescape").partition("\n")[0]
    assert header == "path,label,split,group,digest,width,height,mode,orientation,phash,near"
    assert read_csv(file).records == first.records
    assert read_csv(file).classes == first.classes
    again = assign_splits(scan(str(file)), val=0.5, seed=9)
    assert again.records == first.records
    assert list(tmp_path.glob(".manifest*")) == []


def test_sample_records_survive_a_manifest(tmp_path: Path) -> None:
    digits = scan("sample:digits")
    write_csv(digits, tmp_path / "manifest.csv")
    assert scan(str(tmp_path / "manifest.csv")).records == digits.records


def test_reading_another_table_as_a_manifest_is_refused(folder: Path) -> None:
    with pytest.raises(TLError, match=r"is not a manifest\.csv"):
        read_csv(table(folder, "path,label\na,b\n"))
    write_csv(scan(str(folder)), folder / "m.csv")
    cut = (folder / "m.csv").read_text()[:-60]
    with pytest.raises(TLError, match="line 9"):
        read_csv(table(folder, cut, "cut.csv"))


def test_bad_files_are_written_with_label_and_reason(folder: Path) -> None:
    (folder / "cat" / "a,b.png").write_bytes(b"")
    text = bad_csv_text(scan(str(folder)))
    assert list(csv.reader(text.splitlines())) == [
        ["path", "label", "reason"],
        [str(folder / "cat" / "a,b.png"), "cat", "is empty"],
    ]
    assert bad_csv_text(Manifest("x", (), ())) == "path,label,reason\n"


# ---------------------------------------------------------------- tfds

PREPARE = """
import sys
import numpy as np
from tl_cli.quiet import quiet
with quiet():
    import tensorflow_datasets as tfds

class TinyShapes(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="png"), tfds.core.BuilderConfig(name="jpeg")]

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(encoding_format=self.builder_config.name),
                "label": tfds.features.ClassLabel(names=["square", "circle"]),
                "id": tfds.features.Text(),
            }),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        parts = {"train": (0, 12), "validation": (50, 4), "test": (90, 6)}
        return {name: self._examples(*part) for name, part in parts.items()}

    def _generate_examples(self):
        raise NotImplementedError

    def _examples(self, first, n):
        for i in range(first, first + n):
            pixels = np.full((9, 10, 3), i, np.uint8)
            yield i, {"image": pixels, "label": i % 2, "id": str(i)}

for config in sys.argv[2:]:
    TinyShapes(data_dir=sys.argv[1], config=config).download_and_prepare()
"""


def prepare(data_dir: Path, *configs: str) -> None:
    """Prepare a dataset in a process of its own, so that nothing of it is known to this one."""
    command = [sys.executable, "-c", PREPARE, str(data_dir), *configs]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


@pytest.mark.long
def test_a_prepared_tfds_dataset_becomes_files_with_its_splits_and_class_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path / "tfds", "png", "jpeg")
    where = {"data_dir": str(tmp_path / "tfds"), "cache": tmp_path / "cache"}
    manifest = scan("tfds:tiny_shapes:png", **where)
    assert manifest.classes == ("circle", "square")
    assert Counter(r.split for r in manifest.records) == {"train": 12, "val": 4, "test": 6}
    for record in manifest.records:
        shown = open_rgb(record)
        assert shown.size == (10, 9)
        assert record.label == ("circle" if shown.getpixel((0, 0))[0] % 2 else "square")
        assert Path(record.path).stem == record.digest
    jpeg = scan("tfds:tiny_shapes/jpeg", **where)
    assert {Path(r.path).suffix for r in jpeg.records} == {".jpg"}
    assert "choose one: tfds:tiny_shapes:jpeg, tfds:tiny_shapes:png" in refused(
        "tfds:tiny_shapes", **where
    )
    assert "did you mean 'tiny_shapes/png'?" in refused("tfds:tiny_shapes:pgn", **where)
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "own"))
    again = scan("tfds:tiny_shapes:png", data_dir=where["data_dir"])
    assert all(Path(r.path).is_relative_to(tmp_path / "own") for r in again.records)
    # The second time, the files are enough: a process that cannot import TensorFlow lists them.
    code = (
        "import sys, pathlib\n"
        "sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None\n"
        "from tl_cli.data.scan import scan\n"
        "scan('tfds:tiny_shapes:png', data_dir=sys.argv[1], cache=pathlib.Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, where["data_dir"], str(where["cache"])]
    subprocess.run(command, check=True, timeout=60)
    Path(manifest.records[3].path).unlink()
    assert scan("tfds:tiny_shapes:png", **where) == manifest
    # a listing of another version, with other columns, is made anew
    listing = next((tmp_path / "cache").rglob("manifest.csv"))
    listing.write_text(listing.read_text().replace(",near\n", "\n", 1))
    assert scan("tfds:tiny_shapes:png", **where) == manifest


def test_a_tfds_dataset_that_is_not_prepared(tmp_path: Path) -> None:
    said = refused("tfds:cats_vs_dogs", data_dir=str(tmp_path))
    assert f"the tfds dataset 'cats_vs_dogs' is not prepared in '{tmp_path}'" in said
    assert "tfds build cats_vs_dogs" in said
    for name, right in {
        "cifar-10": "cifar10",
        "CIFAR_100": "cifar100",
        "oxford-flowers-102": "oxford_flowers102",
        "tfflowers": "tf_flowers",
    }.items():
        said = refused(f"tfds:{name}", data_dir=str(tmp_path))
        assert f"did you mean 'tfds:{right}'?" in said and f"tfds build {right}" in said
    said = refused("tfds:oxford_flowers", data_dir=str(tmp_path))
    assert "did you mean 'oxford_flowers102'?" in said
    assert "tfds build" not in refused("tfds:my-own photos", data_dir=str(tmp_path))
    assert "not prepared" in refused("tfds:", data_dir=str(tmp_path / "missing"))
