"""What befalls a cache costs time and one sentence: never the run, and never a wrong row."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from test_cli import REAL, SMALL, tl
from tiny import coloured, split_of, tiny_backbone
from tl_cli.data.manifest import Record
from tl_cli.data.scan import scan
from tl_cli.engine import features
from tl_cli.engine.features import FeatureSpec
from tl_cli.engine.features import extraction as extracting
from tl_cli.engine.images import image_store
from tl_cli.engine.networks.loading import Backbone
from tl_cli.errors import TLError
from tl_cli.store import cache_folder, locks, notices
from tl_cli.store import rows as tables

SPECS = [FeatureSpec((2, 6)), FeatureSpec((2,), 3)]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone()


@pytest.fixture
def records(tmp_path: Path) -> tuple[Record, ...]:
    return split_of(coloured(tmp_path / "data", 15)).records


@pytest.fixture
def said() -> Iterator[list[str]]:
    texts: list[str] = []
    with notices.listening(texts.append):
        yield texts


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images of the batches that pass the network."""
    seen: list[int] = []
    predict = keras.Model.predict_on_batch

    def counted(self: keras.Model, x: np.ndarray) -> np.ndarray:
        seen.append(len({image.tobytes() for image in x}))
        return predict(self, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", counted)
    return seen


def extracted(backbone: Backbone, records: tuple[Record, ...]) -> list[np.ndarray]:
    return [rows.array() for rows in features.extract(backbone, records, SPECS)]


def without_cache(backbone: Backbone, records: tuple[Record, ...]) -> list[np.ndarray]:
    return [rows.array() for rows in features.extract(backbone, records, SPECS, keep=False)]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def refused(number: int) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "somewhere")

    return refuse


def a_file(place: Path) -> Path:
    place.write_text("")
    return place


PLACES = {
    "file": a_file,
    "below a file": lambda place: a_file(place) / "cache",
    "proc": lambda _: Path("/proc/tl-cache"),
    "other people's": lambda place: (place.mkdir(), a_file(place / "thesis.txt"))[1].parent,
}


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES)
def test_without_a_place_for_a_cache_the_run_goes_on_and_says_so_once(
    backbone: Backbone, records: tuple[Record, ...], said: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path],
) -> None:  # fmt: skip
    want = without_cache(backbone, records)
    monkeypatch.setenv("TL_CACHE", str(make(tmp_path / "place")))
    assert same(extracted(backbone, records), want)
    store = image_store.store(records, 24, memory=0)
    assert store.place == "streamed" and len(store.take(np.arange(3))) == 3
    assert len(said) == 1 and "goes on without it" in said[0] and "TL_CACHE" in said[0]


@pytest.mark.others_long(3)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("broken", ["_write", "_sync", "_shorten"])
@pytest.mark.parametrize("after", [0, 3])
def test_a_disk_that_takes_no_more_ends_only_the_keeping(
    backbone: Backbone, records: tuple[Record, ...], said: list[str],
    monkeypatch: pytest.MonkeyPatch, number: int, broken: str, after: int,
) -> None:  # fmt: skip
    want = without_cache(backbone, records)
    done, calls = getattr(tables, broken), iter(range(1000))

    def failing(*arguments: object) -> None:
        if next(calls) >= after:
            refused(number)()
        done(*arguments)

    monkeypatch.setattr(tables, broken, failing)
    assert same(extracted(backbone, records), want)
    assert len(said) == 1 and os.strerror(number) in said[0]
    monkeypatch.undo()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_cache_that_is_only_read_gives_what_it_has(
    backbone: Backbone, records: tuple[Record, ...], said: list[str], passed: list[int],
    monkeypatch: pytest.MonkeyPatch, number: int,
) -> None:  # fmt: skip
    old, new = records[:-5], records[-5:]
    extracted(backbone, old)
    del passed[:]
    monkeypatch.setattr(locks, "held", refused(number))
    got = extracted(backbone, records)
    assert sum(passed) == len(new) and len(said) == 1
    assert same(extracted(backbone, old), [rows[:-5] for rows in got])
    assert sum(passed) == len(new)  # what is kept is not computed again
    assert same(got, without_cache(backbone, records))


def test_a_writer_that_is_stuck_is_not_waited_for_for_ever(
    backbone: Backbone, records: tuple[Record, ...], said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(locks, "STALLED", 0.3)
    place = cache_folder.kind_folder(features.KIND) / SPECS[0].key(backbone)
    with locks.held(place):
        got = extracted(backbone, records)
    assert same(got, without_cache(backbone, records))
    assert len(said) == 1 and f"process {os.getpid()}" in said[0]


def bit(data: bytearray) -> None:
    data[len(data) // 2] ^= 4


def page(data: bytearray) -> None:
    data[:4096] = bytes(min(4096, len(data)))


def tail(data: bytearray) -> None:
    del data[int(0.9 * len(data)) :]


@pytest.mark.parametrize("damage", [bit, page, tail])
def test_damaged_rows_are_found_and_computed_anew(
    backbone: Backbone, records: tuple[Record, ...], said: list[str], passed: list[int],
    damage: Callable[[bytearray], None],
) -> None:  # fmt: skip
    want = without_cache(backbone, records)
    extracted(backbone, records[:-3])
    for file in (cache_folder.folder() / features.KIND).glob("*/rows.bin"):
        data = bytearray(file.read_bytes())
        damage(data)
        file.write_bytes(data)
    assert same(extracted(backbone, records), want)  # more images, too
    assert len(said) == (damage is not tail)
    del passed[:]
    assert same(extracted(backbone, records), want)
    assert not passed  # mended on disk


def test_damaged_pixels_are_decoded_anew(
    records: tuple[Record, ...], said: list[str], tmp_path: Path
) -> None:
    want = image_store.store(records, 24).take(np.arange(len(records)))
    [file] = (cache_folder.folder() / "images").glob("*/rows.bin")
    data = bytearray(file.read_bytes())
    page(data)
    file.write_bytes(data)
    store = image_store.store(records, 24, memory=0)
    assert store.place == "disk" and len(said) == 1
    assert np.array_equal(store.take(np.arange(len(records))), want)


def replaced(path: Path, other: Path) -> None:
    """Put another picture into a file of which size and time stay, as `cp -p` may."""
    before = path.stat()
    data = other.read_bytes()
    path.write_bytes(data + bytes(max(0, before.st_size - len(data))))
    os.truncate(path, before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def bitmaps(tmp_path: Path) -> Path:
    """Pictures in files of one size."""
    for i, name in enumerate(("a", "a", "a", "b", "b", "b")):
        (tmp_path / "bmp" / name).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype="uint8")
        Image.fromarray(pixels).save(tmp_path / "bmp" / name / f"{i}.bmp")
    return tmp_path / "bmp"


def test_a_file_that_changed_but_for_its_size_and_time_is_looked_at_again(bitmaps: Path) -> None:
    root = cache_folder.folder()
    first = scan(str(bitmaps), cache=root).records
    assert scan(str(bitmaps), cache=root).records == first
    replaced(bitmaps / "a" / "0.bmp", bitmaps / "b" / "4.bmp")
    now = scan(str(bitmaps), cache=root).records
    assert now[0].digest == first[4].digest
    assert [r.digest for r in now[1:]] == [r.digest for r in first[1:]]


def test_a_remembered_digest_that_was_damaged_is_not_believed(bitmaps: Path) -> None:
    root = cache_folder.folder()
    first = scan(str(bitmaps), cache=root).records
    file = root / "scan.sqlite"
    wrong = first[0].digest.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    data = file.read_bytes()
    assert first[0].digest.encode() in data
    file.write_bytes(data.replace(first[0].digest.encode(), wrong.encode()))
    assert scan(str(bitmaps), cache=root).records == first


def test_nothing_is_kept_of_other_bytes_than_the_digest_says(
    backbone: Backbone, bitmaps: Path
) -> None:
    records = scan(str(bitmaps)).records
    replaced(bitmaps / "a" / "0.bmp", bitmaps / "b" / "4.bmp")
    for keeps in (
        lambda: extracted(backbone, records),
        lambda: image_store.store(records, 32),
    ):
        with pytest.raises(TLError, match=re.escape("0.bmp")) as error:
            keeps()
        assert "run the command again" in error.value.hint
    assert not any(r.digest == records[0].digest for r in _kept(backbone, records))
    assert len(image_store.store(records, 32, memory=0, disk=0).take(np.arange(6))) == 6


def _kept(backbone: Backbone, records: tuple[Record, ...]) -> list[Record]:
    places = extracting._places(backbone, SPECS)
    index = {digest for place in places for digest in tables.Table(*place).index}
    return [record for record in records if record.digest in index]


@pytest.mark.long
def test_every_command_goes_on_without_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL_CACHE", str(a_file(tmp_path / "file")))
    data, run = coloured(tmp_path / "data", 12), tmp_path / "run"
    image = next(data.glob("*/*.png"))
    for command in (
        ("inspect", data),
        ("recommend-freeze", "--data", data),
        ("train", "--data", data, *SMALL, "--freeze", "head", "--output", run),
        ("evaluate", run, "--data", data),
        ("explain", run, image, "--neighbours", 1, "--output", tmp_path / "explained"),
    ):
        done = tl(*command)
        assert done.exit_code == 0, (command, done.output)
        assert done.stderr.count("Nothing more is kept in the cache") == 1, command
    assert tl("predict", run, image).exit_code == 0


TRAIN = "from tl_cli.cli.app import app; app()"


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_trainings_at_once_on_one_cold_cache_all_succeed(tmp_path: Path, count: int) -> None:
    data = coloured(tmp_path / "data", 20)
    processes = []
    for number in range(count):
        run = str(tmp_path / f"run{number}")
        options = ("--data", str(data), *REAL, "--epochs", "1", "--freeze", "half", "-q")
        command = [sys.executable, "-c", TRAIN, "train", *options, "--output", run]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, errors
    assert not any("goes on without" in text for text in errors)
    figures = {(tmp_path / f"run{n}" / "predictions.csv").read_text() for n in range(count)}
    assert len(figures) == 1
