"""16-bit files that hold fewer bits: scaled by what the data set holds, everywhere alike."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import picture
from tl_cli.data import decode, grey_levels
from tl_cli.data.inspection import inspect
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.scan import look, scan
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
    tops = (255, 256, 4095, 4096, 65535, 65536)
    assert [grey_levels.bits_of(np.full(9, top)) for top in tops] == [8, 10, 12, 14, 16, None]
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


@pytest.mark.long
def test_a_run_keeps_its_scale_for_whatever_comes_after(tmp_path: Path) -> None:
    from test_cli import tl
    from tl_cli.engine.export import saved_model
    from tl_cli.engine.networks import classifier
    from tl_cli.store.run_dir import RunDir
    from trained import trained

    deep = folder_of(tmp_path / "deep", 12)
    run = trained(deep, tmp_path / "run", "--freeze", "head")
    grey_levels.use(grey_levels.FILE)
    _, described = classifier.load(RunDir(run))
    assert described["grey_bits"] == grey_levels.in_use() == 12
    grey_levels.use(grey_levels.FILE)
    done = tl("evaluate", run, "--data", deep, "--split", "all", "--json")
    assert done.exit_code == 0, done.stderr
    assert grey_levels.in_use() == 12
    done = tl("export", run, "--format", "saved_model", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    page = Path(told["recipe"]).read_text()
    assert "the level\n4,095 becomes 255" in page
    program: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("import tensorflow")[0], program)
    file = next(deep.rglob("0.png"))
    record = Record(str(file), "")
    side = program["SIZE"]
    wanted = np.asarray(decode.squash(decode.open_rgb(record, side), side), "float32")
    assert np.abs(program["opened"](file)[0] - wanted).max() <= 1
    answers = saved_model.encoded(Path(told["path"]))([file.read_bytes()])["probabilities"]
    plain = saved_model.runtime(Path(told["path"]))(wanted[None])["probabilities"]
    assert np.abs(answers - plain).max() < 0.01


# ---------------------------------------------------------------- colours of 16 bits, hot pixels


def colours(bits: int, channels: int = 3) -> np.ndarray:
    """Return uint16 [40, 50, channels] of levels below 2^bits; alpha is full."""
    levels = np.asarray(picture(7, (50, 40)).convert("RGBA"), float)[..., :channels]
    levels[0, :2, :3] = 255
    return (levels * (2**bits - 1) / 255).round().astype(np.uint16)


def as_png(levels: np.ndarray) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow does not write in colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    height, width, channels = levels.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in levels)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def as_tiff(levels: np.ndarray, order: str) -> bytes:
    """Return an uncompressed TIFF of three channels of 16 bits, in the order "<" or ">"."""
    height, width, _ = levels.shape
    pixels = levels.astype(f"{order}u2").tobytes()
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 1),
               (262, 3, 1, 2), (273, 4, 1, 14), (277, 3, 1, 3), (278, 3, 1, height),
               (279, 4, 1, len(pixels))]  # fmt: skip
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, n, value in entries:
        directory += struct.pack(f"{order}HHI", tag, kind, n)
        short = kind == 3 and n == 1
        directory += struct.pack(
            f"{order}HH" if short else f"{order}I", *([value, 0] if short else [value])
        )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 14 + len(pixels))
    return head + struct.pack(f"{order}HHH", 16, 16, 16) + pixels + directory + b"\0" * 4


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("kind", ["png", "png and alpha", "<", ">"])
def test_colours_of_16_bits_are_scaled_by_the_bits_that_they_hold(
    tmp_path: Path, bits: int, kind: str
) -> None:
    levels = colours(bits, 4 if kind == "png and alpha" else 3)
    file = tmp_path / ("a.png" if kind.startswith("png") else "a.tif")
    file.write_bytes(as_png(levels) if kind.startswith("png") else as_tiff(levels, kind))
    assert look(str(file)).mode == f"{'RGBA' if levels.shape[-1] == 4 else 'RGB'};{bits}"
    for scale in (None, bits):
        grey_levels.use(scale)
        shown = np.asarray(decode.open_rgb(Record(str(file), "")), float)
        assert np.abs(shown - levels[..., :3] * 255.0 / (2**bits - 1)).max() <= 1


def test_grey_levels_with_alpha_of_16_bits(tmp_path: Path) -> None:
    levels = colours(12, 4)[..., [0, 3]]
    levels[..., 1] = 65_535
    file = tmp_path / "a.png"
    file.write_bytes(as_png(levels))
    assert look(str(file)).mode == "RGBA;12"
    shown = np.asarray(decode.open_rgb(Record(str(file), "")), float)
    assert np.abs(shown - levels[..., :1] * 255.0 / 4095).max() <= 1


def test_a_hot_pixel_and_an_odd_image_do_not_decide_the_scale(tmp_path: Path) -> None:
    grey = colours(12)[..., 0]
    grey[20, 20] = 65_535
    Image.fromarray(grey).save(tmp_path / "hot.png")
    assert look(str(tmp_path / "hot.png")).mode == "I;12"
    shown = np.asarray(decode.open_rgb(Record(str(tmp_path / "hot.png"), "")))
    assert shown[0, 0, 0] == 255 and shown[20, 20, 0] == 255
    records = [Record(str(i), "x", mode="I;12") for i in range(60)]
    assert grey_levels.held([*records, Record("odd", "x", mode="I;16")]) == 12
    assert grey_levels.held([*records[:8], Record("odd", "x", mode="I;16")]) == 16
    odd = Manifest("made", ("x",), (*records, Record("odd", "x", mode="I;16", width=1, height=1)))
    [finding] = [f for f in inspect(odd, None).findings if f.kind == "grey_bits"]
    assert "61 images of 16 bits, of which only 12 are used, but in 1 image" in finding.text
