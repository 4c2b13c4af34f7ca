"""16-bit files that hold fewer bits: scaled by what the data set holds, everywhere alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import picture
from tl_cli.data import decode, grey_levels
from tl_cli.data.inspection import inspect
from tl_cli.data.manifest import Record
from tl_cli.data.scan import scan
from tl_cli.errors import TLError


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    grey_levels.use(None)


def folder_of(path: Path, bits: int, ending: str = "png") -> Path:
    """Return DIR/cat and DIR/dog with four 16-bit images each, of levels up to 2^bits - 1."""
    for i in range(8):
        grey = np.asarray(picture(i, (40, 40)).convert("L"), float)
        grey = grey if i else grey * (255 / grey.max())
        name = path / ("cat", "dog")[i % 2] / f"{i}.{ending}"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((grey * (2**bits - 1) / 255).round().astype(np.uint16)).save(name)
    return path


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("bits", grey_levels.BITS)
def test_files_of_16_bits_look_as_their_8_bit_versions(
    tmp_path: Path, bits: int, ending: str
) -> None:
    manifest = scan(str(folder_of(tmp_path / "deep", bits, ending)))
    plain = scan(str(folder_of(tmp_path / "plain", 8, ending)))
    assert grey_levels.held(manifest.records) == bits
    for record, wanted in zip(manifest.records, plain.records, strict=True):
        grey_levels.use(8)
        right = np.asarray(decode.open_rgb(wanted), int)
        grey_levels.use(bits)
        assert np.abs(np.asarray(decode.open_rgb(record), int) - right).max() <= 1


def test_one_scale_for_all_so_a_dark_image_stays_dark_and_a_brighter_one_is_white(
    tmp_path: Path,
) -> None:
    levels = {"dark": 900, "full": 4095, "hot": 60000}
    for name, level in levels.items():
        Image.fromarray(np.full((8, 8), level, np.uint16)).save(tmp_path / f"{name}.png")
    grey_levels.use(12)
    shown = {n: decode.open_rgb(Record(str(tmp_path / f"{n}.png"), "")) for n in levels}
    assert {name: image.getpixel((0, 0)) for name, image in shown.items()} == {
        "dark": (56, 56, 56),
        "full": (255, 255, 255),
        "hot": (255, 255, 255),
    }


def test_only_training_images_say_how_many_bits_there_are() -> None:
    records = [
        Record("a", "x", "train", mode="I;10"),
        Record("b", "x", "train", mode="I;12"),
        Record("c", "x", "test", mode="I;16"),
        Record("d", "x", "train", mode="RGB"),
    ]
    assert grey_levels.held(records) == 12
    assert grey_levels.held(records[2:]) is None
    assert [grey_levels.bits_of(top) for top in (255, 256, 4095, 4096, 65535, 65536)] == [
        *(8, 10, 12, 14, 16, None),
    ]
    with pytest.raises(TLError, match="no number of bits"):
        grey_levels.use("12")


def test_what_was_trained_on_8_bits_sees_each_image_by_the_fewest_bits_that_hold_it(
    tmp_path: Path,
) -> None:
    for bits in grey_levels.BITS:
        path = tmp_path / f"{bits}.png"
        Image.fromarray(np.full((8, 8), 2**bits - 1, np.uint16)).save(path)
        assert decode.open_rgb(Record(str(path), "")).getpixel((0, 0)) == (255, 255, 255)


def test_what_is_cached_is_named_by_the_scale() -> None:
    names = set()
    for bits in (None, *grey_levels.BITS):
        grey_levels.use(bits)
        names.add(decode.version())
    assert len(names) == len(grey_levels.BITS) + 1


def test_inspect_finds_the_bits_that_are_not_used(tmp_path: Path) -> None:
    manifest = scan(str(folder_of(tmp_path / "deep", 12)))
    [finding] = [f for f in inspect(manifest, None).findings if f.kind == "grey_bits"]
    assert finding.count == 8 and "only 12 are used" in finding.text
    assert "0 to 4,095" in finding.meaning
    whole = scan(str(folder_of(tmp_path / "whole", 16)))
    assert "grey_bits" not in {f.kind for f in inspect(whole, None).findings}


def test_a_run_keeps_its_scale_for_whatever_comes_after(tmp_path: Path) -> None:
    from test_cli import tl
    from tl_cli.engine.networks import classifier
    from tl_cli.store.run_dir import RunDir
    from trained import trained

    deep = folder_of(tmp_path / "deep", 12)
    run = trained(deep, tmp_path / "run")
    grey_levels.use(grey_levels.FILE)
    _, described = classifier.load(RunDir(run))
    assert described["grey_bits"] == grey_levels.in_use() == 12
    grey_levels.use(grey_levels.FILE)
    done = tl("evaluate", run, "--data", deep, "--split", "all", "--json")
    assert done.exit_code == 0, done.stderr
    assert grey_levels.in_use() == 12
