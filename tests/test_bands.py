"""TIFF of many bands: which are red, green and blue is asked, taken, and kept with the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from conftest import picture
from tl_cli.config import RunConfig
from tl_cli.data import channels, decode, grey_levels
from tl_cli.data.manifest import Record
from tl_cli.data.scan import scan
from tl_cli.errors import TLError


@pytest.fixture(autouse=True)
def nothing_said():
    yield
    channels.use(None)
    grey_levels.use(None)


def written(path: Path, levels: np.ndarray, planes: str = "contig", **more) -> Path:
    """Write levels [h, w, bands] as a TIFF, its bands beside each other or plane by plane."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = levels if planes == "contig" else np.ascontiguousarray(np.moveaxis(levels, -1, 0))
    options = {"photometric": "minisblack"} | more
    tifffile.imwrite(path, levels, planarconfig=planes, **options)
    return path


def shown(path: Path) -> np.ndarray:
    return np.asarray(decode.open_rgb(Record(str(path), "")))


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("bands", [3, 4, 5, 13])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_bands_are_taken_in_the_order_said(tmp_path, planes, bands, dtype):
    levels = np.random.default_rng(0).integers(0, 256, (10, 12, bands)).astype(dtype)
    levels[0, 0] = 255  # so that the scale is that of 8 bits
    path = written(tmp_path / "a.tif", levels, planes)
    with pytest.raises(TLError, match=rf"has {bands} bands: say which are .*--channels 3,2,1"):
        shown(path)
    channels.use((3, 2, 1))
    assert (shown(path) == levels[..., 2::-1].astype(np.uint8)).all()
    channels.use((2,))
    assert (shown(path) == levels[..., 1:2].astype(np.uint8)).all()


def test_a_band_that_is_not_there_is_named(tmp_path):
    path = written(tmp_path / "a.tif", np.zeros((8, 8, 5), np.uint8))
    channels.use((7, 2, 1))
    with pytest.raises(TLError, match="has 5 bands, and no band 7"):
        shown(path)


def test_colours_and_other_formats_are_as_they_were(tmp_path):
    pixels = np.asarray(picture(1, (12, 10)))
    for name in ("a.png", "a.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
        assert (shown(tmp_path / name) == pixels).all()
    planes = written(tmp_path / "p.tif", pixels.astype(np.uint16), "separate", photometric="rgb")
    assert (shown(planes) == pixels).all()  # Pillow does not read it


def test_levels_are_scaled_by_what_the_data_set_holds(tmp_path):
    random = np.random.default_rng(0)
    for name in "ab":
        for i, top in enumerate((4000, 900)):
            levels = random.integers(0, top, (16, 16, 6)).astype(np.uint16)
            written(tmp_path / "data" / name / f"{i}.tif", levels)
    channels.use((4, 3, 2))
    records = scan(str(tmp_path / "data"), cache=tmp_path / "cache").records
    assert {record.mode for record in records} == {"RGB;12", "RGB;10"}
    assert grey_levels.held(records) == 12
    grey_levels.use(12)
    assert shown(Path(records[1].path)).max() == pytest.approx(900 * 255 / 4095, abs=1)
    assert decode.version().endswith("12bits-4_3_2")


@pytest.mark.parametrize("text", ["3,2", "0,1,2", "a,b,c", "1,2,3,4", "-1", "1,,2", "1,2,"])
def test_what_are_no_bands_is_refused(text):
    with pytest.raises(ValueError, match="three bands"):
        RunConfig(data="x", channels=text)


@pytest.mark.parametrize("numbers", [["1"], [1, 2], [0], [True, 2, 3], "321", 3, [10**9]])
def test_a_checkpoint_may_say_anything(numbers):
    with pytest.raises(TLError, match="no three bands"):
        channels.use(numbers)


@pytest.mark.long
def test_a_run_keeps_its_bands_for_whatever_comes_after(tmp_path):
    """The classes differ in the fifth band alone."""
    from test_cli import tl
    from trained import trained

    random = np.random.default_rng(0)
    for name, level in (("dry", 40), ("wet", 200)):
        for i in range(8):
            levels = random.integers(0, 256, (32, 32, 6))
            levels[..., 4] = np.clip(random.normal(level, 20, (32, 32)), 0, 255)
            written(tmp_path / "data" / name / f"{i}.tif", levels.astype(np.uint8))
    data = tmp_path / "data"
    asked = tl("inspect", data)
    assert asked.exit_code == 1
    assert "say which are red, green and blue (--channels 3,2,1)" in asked.stderr
    run = trained(data, tmp_path / "run", "--channels", "5,5,5", "--freeze", "head")
    assert json.loads((run / "checkpoint.json").read_text())["channels"] == [5, 5, 5]
    channels.use(None)
    done = tl("evaluate", run, "--data", data, "--split", "all", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] > 0.9
    channels.use(None)
    done = tl("predict", run, data / "wet" / "0.tif", "--json")
    assert done.exit_code == 0, done.stderr
    assert '"wet"' in done.stdout
