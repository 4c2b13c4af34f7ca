"""Images inside tar and Parquet files: the same images, labels and splits as in folders."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from conftest import ImageFolder, picture
from tl_cli.data import decode, digests, listing, packed, presence
from tl_cli.data.faults import Fault
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.scan import scan
from tl_cli.data.sources.inputs import named_images
from tl_cli.errors import TLError

CLASSES = ("cat", "dog")
SPLITS = ("train", "test")
Sample = tuple[str, str, bytes]  # split, label, PNG


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    found = []
    for i in range(24):
        file = io.BytesIO()
        picture(i).save(file, "PNG")
        found.append((SPLITS[i % 6 == 0], CLASSES[i % 2], file.getvalue()))
    return found


@pytest.fixture(scope="module")
def folders(samples: Sequence[Sample], tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("folders")
    for i, (split, label, data) in enumerate(samples):
        file = root / split / label / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return scan(str(root))


def write_tar(file: Path, members: Mapping[str, bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def by_cls(root: Path, samples: Sequence[Sample]) -> Path:
    for split in SPLITS:
        members = {}
        for i, (own, label, data) in enumerate(samples):
            if own == split:
                members |= {f"{i:02d}.png": data, f"{i:02d}.cls": label.encode()}
        write_tar(root / f"pets-{split}-000000.tar", members)
    return root


def by_json(root: Path, samples: Sequence[Sample]) -> Path:
    for i, (split, label, data) in enumerate(samples):  # the label first, a file each
        told = json.dumps({"label": label, "width": 3}).encode()
        write_tar(root / split / f"{i:04d}.tar", {f"a/{i}.json": told, f"a/{i}.png": data})
    return root


def by_folder(root: Path, samples: Sequence[Sample]) -> Path:
    for split in SPLITS:
        members = {
            f"x/{label}/{i}.png": data
            for i, (own, label, data) in enumerate(samples)
            if own == split
        }
        write_tar(root / f"{split}.tar", members)
    return root


def hugging_face(root: Path, samples: Sequence[Sample]) -> Path:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    label = {"_type": "ClassLabel", "names": list(CLASSES)}
    notes = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
    for split in SPLITS:
        own = [each for each in samples if each[0] == split]
        images = [{"bytes": data, "path": None} for _, _, data in own]
        labels = [CLASSES.index(label) for _, label, _ in own]
        table = pa.table({"image": pa.array(images, kind), "label": pa.array(labels)})
        table = table.replace_schema_metadata({"huggingface": json.dumps(notes)})
        (root / "data").mkdir(parents=True, exist_ok=True)
        file = root / "data" / f"{split}-00000-of-00001.parquet"
        parquet.write_table(table, file, row_group_size=5)
    return root


def plain_parquet(root: Path, samples: Sequence[Sample]) -> Path:
    for split in SPLITS:
        own = [each for each in samples if each[0] == split]
        root.mkdir(parents=True, exist_ok=True)
        table = pa.table(
            {"jpg": [data for *_, data in own], "label": [label for _, label, _ in own]}
        )
        parquet.write_table(table, root / f"{split}.parquet")
    return root


def examples(root: Path, samples: Sequence[Sample], *, text: bool = True) -> Path:
    """As TensorFlow writes them, with more in them than is asked for."""
    import tensorflow as tf

    def feature(value: bytes | int) -> tf.train.Feature:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value, 7]))

    root.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        with tf.io.TFRecordWriter(str(root / f"pets-{split}.tfrecord-00000-of-00001")) as file:
            for _, label, data in (each for each in samples if each[0] == split):
                told = {
                    "image/encoded": feature(data),
                    "image/class/label": feature(CLASSES.index(label)),
                    "image/height": feature(-16),
                    "image/object/bbox/xmin": tf.train.Feature(
                        float_list=tf.train.FloatList(value=[0.5])
                    ),
                }
                if text:
                    told["image/class/text"] = feature(label.encode())
                features = tf.train.Features(feature=told)
                file.write(tf.train.Example(features=features).SerializeToString())
    return root


MAKERS = (by_cls, by_json, by_folder, hugging_face, plain_parquet, examples)


def seen(manifest: Manifest) -> list[tuple[str, ...]]:
    return sorted((r.digest, r.label, r.split, r.phash, r.mode) for r in manifest.records)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_what_lies_in_shards_is_what_lies_in_folders(
    make, samples: Sequence[Sample], folders: Manifest, tmp_path: Path
) -> None:
    place = make(tmp_path / "shards", samples)
    cache = tmp_path / "cache"
    first, again = scan(str(place), cache=cache), scan(str(place), cache=cache)
    assert seen(first) == seen(folders) and not first.bad
    assert first == again and first.classes == CLASSES
    for record in first.records[::10]:
        assert packed.is_packed(record.path) and digests.of(record) == record.digest
        assert decode.open_rgb(record).size == (24, 16)
    assert presence.states(first.records) == [presence.SAME] * len(samples)
    assert set(named_images([str(place)])) == {r.path for r in first.records}


def test_one_file_is_a_source_too(samples: Sequence[Sample], tmp_path: Path) -> None:
    place = by_folder(tmp_path, samples)
    assert len(scan(str(place / "train.tar")).records) == 20


@pytest.mark.parametrize("place", ["", "cat"])
def test_a_tar_beside_class_folders_hides_none_of_them(
    image_folder: ImageFolder, place: str
) -> None:
    """As whoever has unpacked one leaves it there."""
    folder = image_folder()
    write_tar(folder / place / "pets.tar", {"dog/1.png": b"x"})
    assert listing.kind(str(folder)) == "folder"
    assert {Path(record.path).suffix for record in scan(str(folder)).records} == {".png"}


def test_a_tar_that_changed_is_looked_at_anew_and_one_that_is_gone_is_said(
    samples: Sequence[Sample], tmp_path: Path
) -> None:
    place = by_folder(tmp_path / "tars", samples)
    first = scan(str(place), cache=tmp_path)
    own = [each for each in samples if each[0] == "train"]
    write_tar(
        place / "train.tar", {f"{label}/{i}.png": d for i, (_, label, d) in enumerate(own[::-1])}
    )
    states = presence.states(first.of("train"))
    assert presence.REPLACED in states or presence.GONE in states
    assert seen(scan(str(place), cache=tmp_path)) == seen(first)
    (place / "train.tar").unlink()
    assert presence.states(first.of("train")) == [presence.GONE] * 20


def test_what_is_wrong_in_a_shard_is_named(samples: Sequence[Sample], tmp_path: Path) -> None:
    good = {f"{label}/{i}.png": data for i, (_, label, data) in enumerate(samples)}
    write_tar(tmp_path / "a.tar", {**good, "cat/bad.png": samples[0][2][:200], "none.png": b"x"})
    (tmp_path / "b.tar").write_bytes(b"no tar" * 300)
    found = scan(str(tmp_path))
    reasons = sorted(bad.reason for bad in found.bad)
    assert [reason.split(" (")[0] for reason in reasons] == [
        "has no label", "is cut short", "is not a whole tar file"
    ]  # fmt: skip
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:3_000])
    with pytest.raises(TLError, match="cut short, with the tar"):
        decode.open_rgb(found.records[-1])


@pytest.mark.parametrize(
    "path",
    ["tar:/x.tar", "tar:/x.tar@1/2", "parquet:/x@image", "tar:@1+2/", "parquet:/x.parquet@/1"],
)
def test_paths_that_name_no_place(path: str) -> None:
    with pytest.raises(Fault):
        packed.read(path)


def test_a_name_with_marks_of_a_path_in_it() -> None:
    path = packed.in_tar(Path("/a@1+2/b.tar"), 512, 9, "c@7+8/d.png")
    assert packed.file_of(path) == "/a@1+2/b.tar"
    assert packed.file_of(packed.in_parquet(Path("/a@image/3.parquet"), "image", 5)) == (
        "/a@image/3.parquet"
    )
    assert packed.file_of("/plain@1+2/x.png") == "/plain@1+2/x.png"


def test_columns_are_named_where_they_are_not_usual(
    samples: Sequence[Sample], tmp_path: Path
) -> None:
    table = pa.table({"photo": [d for *_, d in samples], "species": [s for _, s, _ in samples]})
    parquet.write_table(table, tmp_path / "pets.parquet")
    with pytest.raises(TLError, match="no column of labels") as caught:
        scan(str(tmp_path / "pets.parquet"))
    assert "--columns label=NAME" in caught.value.hint
    found = scan(str(tmp_path / "pets.parquet"), columns={"label": "species"})
    assert found.classes == CLASSES and len(found.records) == 24


def test_a_compressed_tar_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"")
    with pytest.raises(TLError, match="compressed"):
        scan(str(tmp_path / "x.tar.gz"))


def test_examples_without_texts_are_of_numbered_classes(
    samples: Sequence[Sample], folders: Manifest, tmp_path: Path
) -> None:
    place = examples(tmp_path, samples, text=False)
    found = scan(str(place))
    assert found.classes == ("0", "1")
    assert [r[0] for r in seen(found)] == [r[0] for r in seen(folders)]
    with pytest.raises(TLError, match="only one class, '-16'"):
        scan(str(place), columns={"label": "image/height"})
    with pytest.raises(TLError, match="has no label 'image/class/txt'") as caught:
        scan(str(place), columns={"label": "image/class/txt"})
    assert "image/class/label" in caught.value.hint


@pytest.mark.parametrize("name", ["x.tfrecord", "train-00000-of-00001"])
def test_what_is_wrong_in_a_file_of_examples_is_named(
    samples: Sequence[Sample], tmp_path: Path, name: str
) -> None:
    [whole, *_] = sorted(examples(tmp_path / "whole", samples).iterdir(), reverse=True)
    file = tmp_path / "cut" / name
    file.parent.mkdir()
    file.write_bytes(whole.read_bytes()[:-9])
    found = scan(str(file.parent))
    assert len(found.records) == 19 and [bad.path for bad in found.bad] == [str(file)]
    assert (
        "is not a whole TFRecord file" in found.bad[0].reason and "cut short" in found.bad[0].reason
    )
    file.write_bytes(whole.read_bytes()[:300])
    with pytest.raises(TLError, match="cut short, with the TFRecord file"):
        decode.open_rgb(found.records[-1])
    (tmp_path / "x.tfrecord").write_bytes(b"\x1f\x8b" + whole.read_bytes())
    with pytest.raises(TLError, match="it is compressed"):
        scan(str(tmp_path / "x.tfrecord"))


def test_a_table_of_paths_in_parquet_is_a_table(folders: Manifest, tmp_path: Path) -> None:
    rows: Sequence[Record] = folders.records
    table = pa.table({"path": [r.path for r in rows], "label": [r.label for r in rows]})
    parquet.write_table(table, tmp_path / "table.parquet")
    assert len(scan(str(tmp_path / "table.parquet")).records) == 24
