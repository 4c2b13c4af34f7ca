"""The look at each file: every format, every way to be broken, and what is remembered."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import ImageFolder, picture
from tl_cli.data import decode, duplicates, grey_levels, pixel_cache
from tl_cli.data.decode import open_rgb, open_rgb_bytes
from tl_cli.data.duplicates import exact_duplicates, near_duplicates
from tl_cli.data.manifest import Record
from tl_cli.data.scan import look as look_at
from tl_cli.data.scan import scan
from tl_cli.errors import TLError
from tl_cli.store import cache as caching
from tl_cli.store.rows import Table


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a PNG whose header may claim anything."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def rgb(data: bytes, size: int | None = None) -> np.ndarray:
    image = open_rgb_bytes(data, size)
    assert image.mode == "RGB"
    return np.asarray(image)


PHOTO = encoded(picture(1, (160, 120)), "JPEG", quality=90)
PROGRESSIVE = encoded(picture(1, (160, 120)), "JPEG", quality=90, progressive=True)

BAD = {
    "empty.jpg": (b"", "is empty"),
    "text.jpg": (b"not a picture at all\n" * 40, "is not an image (text)"),
    "web.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "is not an image (HTML)"),
    "doc.jpg": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "is not an image (PDF)"),
    "bytes.jpg": (bytes(range(128, 256)) * 8, "is not an image (unknown content)"),
    "zeros.jpg": (bytes(4096), "is not an image (only zeros)"),
    "eps.jpg": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "is not an image (PostScript)",
    ),
    "flat.png": (png_of(0, 5), "is damaged"),
    "none.gif": (b"GIF89a" + bytes(7) + b"," + bytes(9) + b"\2\2L\1\0;", "is damaged"),
    "huge.png": (png_of(50_000, 50_000), "is a decompression bomb"),
    "large.png": (png_of(13_500, 13_500), "is a decompression bomb"),
    "claims.png": (png_of(10_000, 10_000), "is cut short"),
    "short.png": (encoded(picture(2, (99, 99)), "PNG")[:-800], "is cut short"),
    "short.gif": (encoded(picture(2, (99, 99)), "GIF")[:300], "is cut short"),
    "short.webp": (encoded(picture(2, (99, 99)), "WEBP")[:-80], "is cut short"),
    "short.bmp": (encoded(picture(2, (99, 99)), "BMP")[:-800], "is cut short"),
    "short.tif": (encoded(picture(2, (99, 99)), "TIFF")[:-800], "is"),
    "short.avif": (encoded(picture(2, (99, 99)), "AVIF")[:-100], "is"),
    "damaged.png": (encoded(picture(2), "PNG")[:20] + bytes(99) + b"IEND", "is damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_skipped_and_named_with_its_reason(
    name: str, image_folder: ImageFolder
) -> None:
    data, reason = BAD[name]
    folder = image_folder()
    (folder / "cat" / name).write_bytes(data)
    manifest = scan(str(folder))
    assert len(manifest.records) == 8
    [bad] = manifest.bad
    assert (bad.path, bad.label) == (str(folder / "cat" / name), "cat")
    assert bad.reason.startswith(reason)
    assert [note for note in manifest.notes if name in note and reason in note]
    with pytest.raises(TLError, match="cat/" + name):
        scan(str(folder), bad_images="error")
    with pytest.raises(TLError, match=f"{name}' {reason[:8]}"):
        open_rgb(Record(bad.path, "cat"))
    with pytest.raises(TLError):
        open_rgb_bytes(data)


def heic_of(image: Image.Image) -> bytes:
    import pillow_heif as heif  # the extra `heic`, which is part of `dev`

    buffer = io.BytesIO()
    heif.from_pillow(image).save(buffer, quality=95, chroma=444)
    return buffer.getvalue()


def test_heic_is_read_with_its_extra(image_folder: ImageFolder) -> None:
    folder = image_folder()
    (folder / "cat" / "phone.heic").write_bytes(heic_of(picture(7, (64, 48))))
    manifest = scan(str(folder))
    assert not manifest.bad
    [record] = [r for r in manifest.records if r.path.endswith(".heic")]
    assert (record.width, record.height) == (64, 48)
    difference = np.abs(
        np.asarray(open_rgb(record), float) - np.asarray(picture(7, (64, 48)), float)
    )
    assert difference.mean() < 5


def test_heic_without_its_extra_says_what_to_install(
    image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = heic_of(picture(7, (64, 48)))
    monkeypatch.setattr(decode, "_formats", lambda: tuple(decode.FORMATS))
    folder = image_folder()
    (folder / "cat" / "phone.heic").write_bytes(data)
    [bad] = scan(str(folder)).bad
    assert bad.reason.startswith("is HEIC, which needs pillow-heif")


@pytest.mark.parametrize("photo", [PHOTO, PROGRESSIVE], ids=["baseline", "progressive"])
@pytest.mark.parametrize("share", [0.002, 0.1, 0.4, 0.7, 0.95])
def test_a_truncated_jpeg_is_cut_short(
    photo: bytes, share: float, image_folder: ImageFolder
) -> None:
    folder = image_folder()
    (folder / "dog" / "cut.jpg").write_bytes(photo[: int(len(photo) * share)])
    manifest = scan(str(folder))
    assert [bad.reason for bad in manifest.bad] == ["is cut short"]


def test_a_bomb_takes_no_memory_and_its_size_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TLError, match="182,250,000 pixels"):
        open_rgb_bytes(png_of(13_500, 13_500))
    with pytest.raises(TLError, match="2,500,000,000 pixels"):
        open_rgb_bytes(png_of(50_000, 50_000))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as other packages do
    with pytest.raises(TLError, match="13,500x13,500 pixels"):
        open_rgb_bytes(png_of(13_500, 13_500))


@pytest.mark.parametrize(
    ("size", "data"),
    [
        ((1, 1), encoded(picture(3, (1, 1)), "PNG")),
        ((20_000, 20), encoded(picture(3, (20_000, 20)), "PNG")),
        ((20_000, 20), encoded(picture(3, (20_000, 20)), "JPEG")),
        ((24, 16), encoded(picture(3), "PNG")),
        ((24, 16), encoded(picture(3), "JPEG", progressive=True)),
        ((24, 16), encoded(picture(3), "BMP")),
        ((24, 16), encoded(picture(3), "TIFF")),
        ((24, 16), encoded(picture(3), "TIFF", compression="tiff_lzw")),
        ((24, 16), encoded(picture(3), "WEBP")),
        ((24, 16), encoded(picture(3), "AVIF")),
        ((24, 16), encoded(picture(3), "GIF")),
        ((24, 16), encoded(picture(3), "PPM")),
    ],
)
def test_every_format_is_told_by_its_content_and_not_by_its_name(
    size: tuple[int, int], data: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "named.jpg"
    file.write_bytes(data)
    look = look_at(str(file))
    assert (look.width, look.height) == size
    shown = np.asarray(open_rgb(Record(str(file), ""))).astype(int)
    meant = np.asarray(picture(3, size)).astype(int)
    assert np.abs(shown - meant).mean() < 16


def test_each_mode_becomes_rgb_with_the_right_colours() -> None:
    red = Image.new("RGB", (8, 8), (200, 30, 30))
    assert np.abs(rgb(encoded(red.convert("CMYK"), "JPEG")).mean((0, 1)) - (200, 30, 30)).max() < 6
    assert (rgb(encoded(red.convert("L"), "PNG"))[0, 0] == 81).all()
    assert (rgb(encoded(Image.new("L", (8, 8), 80), "JPEG")) == 80).all()
    assert (rgb(encoded(Image.new("1", (8, 8), 1), "PNG")) == 255).all()
    assert (rgb(encoded(red.quantize(), "PNG"))[0, 0] == (200, 30, 30)).all()
    assert (rgb(encoded(Image.new("LA", (8, 8), (60, 255)), "PNG")) == 60).all()


def test_transparency_lies_on_white() -> None:
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    half.paste((10, 20, 30, 255), (0, 0, 4, 8))
    assert (rgb(encoded(half, "PNG"))[0, [0, 7]] == [[10, 20, 30], [255, 255, 255]]).all()
    assert (rgb(encoded(half, "TIFF"))[0, 7] == 255).all()
    assert (rgb(encoded(half, "WEBP", lossless=True))[0, 7] == 255).all()
    assert (rgb(encoded(Image.new("LA", (8, 8), (0, 0)), "PNG")) == 255).all()
    assert (rgb(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG")) == 127).all()
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert (rgb(encoded(palette, "PNG")) == 9).all()
    assert (rgb(encoded(palette, "PNG", transparency=1)) == 255).all()
    assert (rgb(encoded(palette, "PNG", transparency=b"\xff\x00")) == 255).all()
    assert (rgb(encoded(palette, "GIF", transparency=1)) == 255).all()
    assert (
        rgb(encoded(Image.new("RGB", (8, 8), (9, 8, 7)), "PNG", transparency=(9, 8, 7))) == 255
    ).all()
    assert (rgb(encoded(Image.new("L", (8, 8), 9), "PNG", transparency=9)) == 255).all()


def test_more_than_8_bits_are_scaled_and_not_cut_off() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    wanted = np.round(ramp / 257.0)
    for format in ("PNG", "TIFF", "PPM"):
        assert (rgb(encoded(Image.fromarray(ramp), format))[..., 0] == wanted).all(), format
    dark = encoded(Image.fromarray(ramp // 64), "PNG")
    grey_levels.use(16)
    assert rgb(dark).max() == 4, "a dark image stays dark"
    grey_levels.use(None)
    unit = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    assert np.abs(rgb(encoded(Image.fromarray(unit), "TIFF"))[..., 0] - unit * 255).max() <= 0.5
    unit[0, 0] = np.nan
    assert rgb(encoded(Image.fromarray(unit), "TIFF"))[0, 0, 0] == 0
    black = Image.fromarray(np.zeros((8, 8), np.float32) - 5)
    assert (rgb(encoded(black, "TIFF")) == 0).all()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(format: str) -> None:
    red, blue = (Image.new("RGB", (8, 8), c) for c in ("#ff0000", "#0000ff"))
    options = {"save_all": True, "append_images": [blue]}
    shown = rgb(encoded(red, format, **options, **({"lossless": True} if format == "WEBP" else {})))
    assert (shown == (255, 0, 0)).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int, format: str, tmp_path: Path) -> None:
    upright = picture(4, (80, 48))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # what makes a picture that has to be turned by 270 degrees
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "turned"
    file.write_bytes(encoded(stored, format, exif=exif))
    look = look_at(str(file))
    assert (look.width, look.height, look.orientation) == (80, 48, orientation)
    for size in (None, 20):
        shown = open_rgb(Record(str(file), ""), size)
        assert (shown.width > shown.height) and min(shown.size) >= 20
        shown_small = np.asarray(shown.resize((20, 12))).astype(int)
        meant = np.asarray(upright.resize((20, 12))).astype(int)
        assert np.abs(shown_small - meant).mean() < 14


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x09",
    ],
)
def test_a_corrupt_exif_block_does_not_make_a_good_picture_bad(
    exif: bytes, image_folder: ImageFolder
) -> None:
    folder = image_folder()
    (folder / "cat" / "odd.jpg").write_bytes(encoded(picture(5), "JPEG", exif=exif))
    manifest = scan(str(folder))
    assert not manifest.bad
    assert [r.orientation for r in manifest.records] == [1] * 9


def test_a_size_lets_a_jpeg_be_decoded_smaller_but_not_too_small() -> None:
    data = encoded(picture(6, (800, 640)), "JPEG", quality=95)
    assert open_rgb_bytes(data).size == (800, 640)
    assert open_rgb_bytes(data, 160).size == (200, 160)
    assert open_rgb_bytes(data, 161).size == (400, 320)
    assert open_rgb_bytes(data, 5000).size == (800, 640)
    small = open_rgb_bytes(data).resize((25, 20), Image.Resampling.BOX)
    drafted = open_rgb_bytes(data, 20).resize((25, 20), Image.Resampling.BOX)
    assert np.abs(np.asarray(small).astype(int) - np.asarray(drafted).astype(int)).mean() < 3


def test_names_in_any_script_with_spaces_newlines_and_255_bytes(image_folder: ImageFolder) -> None:
    folder = image_folder(n=1)
    odd = ["猫 と 犬.png", "two\nlines.png", 'quo"te.png', "é" * 125 + ".png", "a" * 251 + ".png"]
    for i, name in enumerate(odd):
        picture(100 + i).save(folder / "cat" / name)
    picture(200).save(os.fsencode(folder / "cat") + b"/not-utf8-\xff.png")
    manifest = scan(str(folder), cache=folder.parent / "cache")
    assert len(manifest.of("all")) == 8
    assert not manifest.bad
    assert scan(str(folder), cache=folder.parent / "cache").records == manifest.records


def test_records_are_in_natural_order_with_digest_mode_and_size(image_folder: ImageFolder) -> None:
    folder = image_folder(("b", "a"), n=0)
    for name in ("img10.png", "img9.png", "img1.png"):
        picture(len(name) + int(name[3]), (30, 20)).convert("L").save(folder / "a" / name)
    picture(9).save(folder / "b" / "x.png")
    manifest = scan(str(folder))
    assert [Path(r.path).name for r in manifest.records] == [
        "img1.png",
        "img9.png",
        "img10.png",
        "x.png",
    ]
    assert manifest.classes == ("a", "b")
    first = manifest.records[0]
    assert (first.width, first.height, first.mode, first.orientation) == (30, 20, "L", 1)
    assert len(first.digest) == 32
    assert len(first.phash) == 16


def test_the_second_scan_decodes_only_what_has_changed(
    image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder()
    cache = folder.parent / "cache"
    seen: list[str] = []

    monkeypatch.setattr(
        "tl_cli.data.scan.look", lambda path, _: (seen.append(path), look_at(path))[1]
    )
    first = scan(str(folder), cache=cache)
    assert len(seen) == 8
    assert scan(str(folder), cache=cache) == first
    assert len(seen) == 8
    changed = folder / "cat" / "01.png"
    picture(77, (31, 31)).save(changed)
    again = scan(str(folder), cache=cache)
    assert seen[8:] == [str(changed)]
    assert {r.width for r in again.records} == {24, 31}


def all_kinds(folder: Path) -> Path:
    """Write images that are decoded in different ways, two of them the same."""
    photo, exif = picture(3, (150, 110)), Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    photo.save(folder / "a" / "large.jpg")
    photo.save(folder / "a" / "large copy.jpg")
    photo.save(folder / "a" / "turned.jpg", exif=exif)
    photo.save(folder / "a" / "turned.tif", exif=exif)
    photo.convert("CMYK").save(folder / "b" / "cmyk.jpg")
    photo.convert("P").save(folder / "b" / "palette.gif")
    picture(4, (40, 32)).save(folder / "b" / "square enough.png")
    picture(5, (32, 16)).save(folder / "b" / "small.png")
    return folder


def squashed(record: Record, size: int) -> np.ndarray:
    return np.asarray(decode.squash(open_rgb(record, size), size)).reshape(-1)


def test_the_scan_keeps_what_it_decodes_as_the_store_would_decode_it(tmp_path: Path) -> None:
    found = scan(str(all_kinds(tmp_path / "data")), keep=32, keep_from=32)
    table = pixel_cache.table(32)
    wanted = [r for r in found.records if min(r.width, r.height) >= 32]
    assert len(wanted) == 7 and set(table.index) == {r.digest for r in wanted}
    got = table.rows([r.digest for r in wanted])[:]
    np.testing.assert_array_equal(got, [squashed(r, 32) for r in wanted])
    plain = scan(str(tmp_path / "data"))
    assert [r.digest for r in plain.records] == [r.digest for r in found.records]


def test_the_hash_is_the_same_whatever_is_kept(tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / "data" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        picture(i, (900, 600)).save(tmp_path / "data" / "ab"[i % 2] / f"{i}.jpg", quality=90)
    plain = scan(str(tmp_path / "data")).records
    for size in (64, 224):
        found = scan(str(tmp_path / "data"), keep=size).records
        far = [int(a.phash, 16) ^ int(b.phash, 16) for a, b in zip(plain, found, strict=True)]
        assert max(bits.bit_count() for bits in far) <= 1


def test_a_remembered_scan_keeps_nothing(image_folder: ImageFolder, tmp_path: Path) -> None:
    folder = str(image_folder())
    scan(folder, cache=tmp_path / "memory")
    scan(folder, cache=tmp_path / "memory", keep=16)
    assert pixel_cache.table(16).index == {}
    scan(folder, keep=16)
    scan(folder, keep=16)
    assert len(pixel_cache.table(16).index) == 8


@pytest.mark.parametrize("n", [8, 9])
def test_the_scan_keeps_only_what_half_of_the_cache_holds(
    image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    folder = image_folder()
    monkeypatch.setattr(caching, "MAX_BYTES", 2 * 8 * 16 * 16 * 3)
    if n == 9:
        picture(99).save(folder / "cat" / "one more.png")
    assert len(scan(str(folder), keep=16).records) == n
    assert len(pixel_cache.table(16).index) == (8 if n == 8 else 0)


@pytest.mark.parametrize("how", ["no folder", "busy", "full"])
def test_where_nothing_can_be_kept_the_scan_goes_on(
    image_folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    folder = image_folder()
    if how == "no folder":
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("TL_CACHE", str(tmp_path / "file" / "cache"))
    with contextlib.ExitStack() as stack:
        if how == "busy":
            stack.enter_context(pixel_cache.table(16).writing())
        if how == "full":
            monkeypatch.setattr(Table, "_cut", full)
        assert len(scan(str(folder), keep=16).records) == 8
    if how != "no folder":
        assert pixel_cache.table(16).index == {}


def test_a_bad_file_is_looked_at_anew_each_time(image_folder: ImageFolder, tmp_path: Path) -> None:
    folder = image_folder()
    (folder / "cat" / "x.png").write_bytes(b"")
    for _ in range(2):
        assert [b.reason for b in scan(str(folder), cache=tmp_path / "c").bad] == ["is empty"]


def test_a_memory_that_cannot_be_used_is_no_error(
    image_folder: ImageFolder, tmp_path: Path
) -> None:
    folder = image_folder()
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "scan.sqlite").write_bytes(b"this is no database" * 999)
    assert len(scan(str(folder), cache=cache).records) == 8
    assert (cache / "scan.sqlite").read_bytes().startswith(b"SQLite format 3")
    (tmp_path / "file").write_text("in the way")
    assert len(scan(str(folder), cache=tmp_path / "file").records) == 8


def test_two_processes_may_scan_into_one_memory(image_folder: ImageFolder, tmp_path: Path) -> None:
    folder = image_folder(n=150)
    code = (
        "import sys, pathlib; from tl_cli.data.scan import scan;"
        "print(len(scan(sys.argv[1], cache=pathlib.Path(sys.argv[2])).records))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(folder), str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[0] for process in running] == ["300\n"] * 3


def test_progress_ends_at_all_images(image_folder: ImageFolder) -> None:
    told: list[tuple[int, int]] = []
    folder = image_folder(n=5)
    scan(str(folder), on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    assert told == sorted(told)


def test_copies_leaks_and_doubtful_labels_are_told(image_folder: ImageFolder) -> None:
    image_folder(under="train", size=(64, 64))
    folder = image_folder(under="test", size=(64, 64), n=2)
    shutil.copy(folder / "train/cat/00.png", folder / "train/cat/copy.png")
    shutil.copy(folder / "train/cat/01.png", folder / "train/dog/other.png")
    shutil.copy(folder / "train/dog/01.png", folder / "test/dog/leak.png")
    manifest = scan(str(folder))
    assert len(exact_duplicates(manifest)) == 3
    leak, labels, copies = manifest.notes
    assert "1 image in more than one split (exact copies)" in leak
    assert "leak.png' (test)" in leak
    assert "1 image with more than one label" in labels
    assert "'dog/other.png' (dog)" in labels
    assert copies.startswith("2 exact copies")


def test_an_edited_copy_of_a_photo_is_found_and_unlike_ones_are_not(
    image_folder: ImageFolder,
) -> None:
    rng = np.random.default_rng(0)
    folder = image_folder(n=30, size=(96, 96))
    blocks = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    photo = blocks.resize((200, 150), Image.Resampling.BICUBIC)
    photo.save(folder / "cat" / "photo.png")
    photo.resize((120, 90)).save(folder / "dog" / "small.jpg", quality=60)
    manifest = scan(str(folder))
    pairs = near_duplicates(manifest)
    assert [{Path(r.path).name for r in pair} for pair in pairs] == [{"photo.png", "small.jpg"}]
    assert {r.near for r in manifest.records} == {"", min(r.digest for r in pairs[0])}
    [note] = [note for note in manifest.notes if "nearly the same" in note]
    assert note.startswith("2 images that look nearly the same as another; such images share one")


def test_three_edits_of_one_photo_are_one_group_and_their_exact_copies_go_with_them(
    image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder(n=3, size=(96, 96))
    photo = picture(99, (200, 150))
    for side in (200, 160, 120):
        photo.resize((side, side)).save(folder / "cat" / f"{side}.png")
    shutil.copy(folder / "cat" / "120.png", folder / "dog" / "copy.png")
    manifest = scan(str(folder))
    monkeypatch.setattr("tl_cli.data.duplicates.open_rgb", None)  # nothing is opened again
    [group] = near_duplicates(manifest)
    assert [Path(r.path).name for r in group] == ["120.png", "160.png", "200.png"]
    assert sum(bool(r.near) for r in manifest.records) == 4
    # a name of a user's group is left as it is
    assert {r.group for r in manifest.records} == {""}


def test_of_a_burst_no_pair_is_opened_that_others_have_joined(
    image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder(n=3, size=(96, 96))
    photo = 0.8 * np.asarray(picture(99, (180, 160)), dtype=float) + 20
    rng = np.random.default_rng(0)
    for i in range(12):  # their hashes differ in a bit here and there: 23 pairs are near
        cells = np.kron(rng.normal(0, 2, (8, 9, 1)), np.ones((20, 20, 1)))
        pixels = np.clip(photo + cells, 0, 255).astype("uint8")
        Image.fromarray(pixels).save(folder / "cat" / f"burst{i}.png")
    opened: list[int] = []
    monkeypatch.setattr(duplicates, "_alike", lambda *pair: opened.append(1) or True)
    [group] = near_duplicates(scan(str(folder)))
    assert (len(group), len(opened)) == (12, 11)
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 5)
    assert sum(map(len, near_duplicates(scan(str(folder))))) < 12


def test_plain_images_are_not_taken_for_near_duplicates(image_folder: ImageFolder) -> None:
    folder = image_folder(n=0)
    for i in range(6):
        Image.new("RGB", (64, 64), (40 * i, 0, 0)).save(folder / "cat" / f"{i}.png")
        Image.new("RGB", (64, 64), (0, 40 * i + 9, 0)).save(folder / "dog" / f"{i}.png")
    assert scan(str(folder)).notes == ()


def test_a_folder_that_may_not_be_read(image_folder: ImageFolder) -> None:
    image_folder()
    root = Path(tempfile.mkdtemp())
    try:
        shutil.copytree(image_folder(), root / "data")
        root.chmod(0o755)
        (root / "data" / "owl").mkdir()
        (root / "data" / "owl").chmod(0)
        (root / "data" / "cat" / "01.png").chmod(0)
        manifest = _as_nobody(root / "data")
        assert "owl: is a folder that cannot be opened (permission denied)" in manifest
        assert "01.png: cannot be opened (permission denied)" in manifest
        (root / "data").chmod(0)
        assert "cannot be opened (permission denied)" in _as_nobody(root / "data")
    finally:
        (root / "data").chmod(0o755)
        shutil.rmtree(root)


def _as_nobody(folder: Path) -> str:
    """Scan as a user without privileges; root could read anything."""
    code = (
        "import os, sys, numpy, PIL.Image; from tl_cli.errors import TLError\n"
        "from tl_cli.data.scan import scan; scan('sample:digits')\n"
        "os.getuid() or os.setuid(65534)\n"
        "try: print(*(f'{b.path}: {b.reason}' for b in scan(sys.argv[1]).bad), sep='\\n')\n"
        "except TLError as error: print(error)"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_and_listing_loads_no_heavy_module() -> None:
    code = (
        "import sys; import tl_cli.data as m\n"
        "from tl_cli.data import listing, manifest\n"
        "listing.listed('sample:digits', manifest.Options())\n"
        "heavy = {'numpy', 'PIL', 'tensorflow', 'keras', 'sklearn', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
