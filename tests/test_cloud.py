"""Data at an address: fetched once into the cache, and then as data on the disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from conftest import picture
from test_cli import tl
from tl_cli.data import listing
from tl_cli.data.scan import scan
from tl_cli.data.sources import cloud
from tl_cli.errors import TLError
from tl_cli.store import cache


@pytest.fixture
def bucket() -> Iterator[fsspec.AbstractFileSystem]:
    """A store with two splits of two classes, and what is nobody's business."""
    store = fsspec.filesystem("memory")
    for i in range(16):
        file = io.BytesIO()
        picture(i).save(file, "PNG")
        split, label = ("train", "test")[i % 4 == 3], ("cat", "dog")[i % 2]
        store.pipe(f"/bucket/pets/{split}/{label}{i % 2 + 1}/{i:02d}.png", file.getvalue())
    store.pipe("/bucket/pets/notes.md", b"x")
    store.pipe("/bucket/pets/.hidden/1.png", b"x")
    yield store
    store.rm("/bucket", recursive=True)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are fetched."""
    seen: list[str] = []
    memory = type(fsspec.filesystem("memory"))
    get = memory.get_file

    def counted(self, path: str, *rest, **more):
        seen.append(path.rpartition("/")[2])
        return get(self, path, *rest, **more)

    monkeypatch.setattr(memory, "get_file", counted)
    return seen


def test_a_folder_elsewhere_is_the_folder_here(bucket, fetched: list[str], tmp_path: Path) -> None:
    bucket.get("/bucket/pets", str(tmp_path / "pets"), recursive=True)
    fetched.clear()
    found, here = scan("memory://bucket/pets/"), scan(str(tmp_path / "pets"))
    assert [(r.digest, r.label, r.split) for r in found.records] == [
        (r.digest, r.label, r.split) for r in here.records
    ]
    assert found.source == "memory://bucket/pets/" and len(fetched) == 16
    assert all(Path(record.path).is_file() for record in found.records)
    assert {entry.kind for entry in cache.entries()} >= {"cloud"} and not cache.strangers()
    assert "cloud" not in {entry.kind for entry in cache.to_evict()}


def test_only_what_changed_is_fetched_again(bucket, fetched: list[str]) -> None:
    first = scan("memory://bucket/pets")
    file = io.BytesIO()
    picture(99).save(file, "PNG")
    bucket.pipe("/bucket/pets/train/cat1/00.png", file.getvalue())
    bucket.rm("/bucket/pets/train/cat1/04.png")
    Path(first.records[-1].path).unlink()  # of the copy
    fetched.clear()
    again = scan("memory://bucket/pets")
    assert sorted(fetched) == sorted(["00.png", Path(first.records[-1].path).name])
    assert len(again.records) == 15
    fetched.clear()
    assert scan("memory://bucket/pets") == again and not fetched


def test_a_copy_that_was_cut_off_goes_on(
    bucket, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "TOGETHER", 4)
    monkeypatch.setattr(cloud, "AT_ONCE", 1)
    memory = type(bucket)
    get = memory.get_file
    with monkeypatch.context() as patch:

        def fail(self, path: str, *rest, **more):
            if len(fetched) == 6:
                raise ConnectionError("the line is dead\nand more")
            return get(self, path, *rest, **more)

        patch.setattr(memory, "get_file", fail)
        with pytest.raises(TLError, match=r"cannot be read: the line is dead$") as caught:
            scan("memory://bucket/pets")
        assert "online" in caught.value.hint
    fetched.clear()
    assert len(scan("memory://bucket/pets").records) == 16 and len(fetched) == 12


def test_a_shard_elsewhere(bucket, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for i, path in enumerate(bucket.find("/bucket/pets/train")):
            info = tarfile.TarInfo(f"{'ab'[i % 2]}/{i}.png")
            info.size = len(data := bucket.cat(path))
            tar.addfile(info, io.BytesIO(data))
    bucket.put(str(tmp_path / "x.tar"), "/bucket/shards/x.tar")
    for place in ("memory://bucket/shards/x.tar", "memory://bucket/shards"):
        found = scan(place)
        assert found.classes == ("a", "b") and len(found.records) == 12
    assert len(scan(f"file://{tmp_path}/x.tar").records) == 12


@pytest.mark.parametrize(
    ("source", "said", "hint"),
    [
        ("memory://bucket/dogs", "there is nothing at", "how it is written"),
        ("memory://bucket/pets/notes.md", "no images, shards or tables", "see what lies there"),
        ("s3://bucket/pets", "needs a package that is not installed", "tl-cli[cloud]"),
        ("s4://bucket/pets", "s4:", "tfds:"),
    ],
    ids=["nothing", "no image", "no package", "no scheme"],
)
def test_what_cannot_be_had_is_one_sentence(
    bucket, monkeypatch: pytest.MonkeyPatch, source: str, said: str, hint: str
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)  # as where it is not installed
    with pytest.raises(TLError) as caught:
        listing.listed(source, listing.Options())
    assert said in caught.value.message and hint in caught.value.hint
    done = tl("train", source)
    assert done.exit_code == 1 and said in " ".join(done.stderr.split())


def test_no_room_is_said_before_anything_is_fetched(
    bucket, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = cloud.shutil.disk_usage("/")
    monkeypatch.setattr(cloud.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(TLError, match="and the disk of the cache has"):
        scan("memory://bucket/pets")
    assert not fetched


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", ".x/1.png", "a\\\\b.png", "x.md", ""]
)
def test_names_that_are_not_fetched(name: str) -> None:
    assert not cloud._is_wanted(name)
    assert cloud._is_wanted("a/x.PNG") and cloud._is_wanted("train-00000-of-00003")
