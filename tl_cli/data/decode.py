"""How an image file becomes RGB pixels: the one way, for training, evaluation and prediction alike.

EXIF orientation is honoured, the first frame is taken, transparency lies on white, more than 8 bits
are scaled by what the training images hold (see grey_levels). Knows files and pixels; nothing of
labels, splits or networks.
"""

from __future__ import annotations

import functools
import importlib
import io
import logging
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tl_cli.data import channels, deep_images, grey_levels, packed
from tl_cli.data.faults import BOMB_PIXELS, Fault, fault
from tl_cli.data.manifest import Record
from tl_cli.data.sources import samples
from tl_cli.errors import TLError
from tl_cli.humanize import short
from tl_cli.store import reading

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    BinaryFile = io.BufferedReader | io.BytesIO

# Only these are tried: others of Pillow's formats start programs (EPS) or are not photographs.
FORMATS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "GIF": "Gif",
    "BMP": "Bmp",
    "DIB": "Bmp",
    "WEBP": "WebP",
    "TIFF": "Tiff",
    "AVIF": "Avif",
    "PPM": "Ppm",
}
SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "bmp", "dib", "webp", "tif", "tiff"),
        *("avif", "heic", "heif", "ppm", "pgm", "pbm", "pnm", "dcm", "dicom"),
    )
)

# Raise it whenever the same file would give other pixels: what was kept before is then not found.
DECODE_VERSION = 3
ORIENTATION = 0x0112  # the EXIF tag
# What undoes each EXIF orientation, by its name in PIL.Image.Transpose.
UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
OF_READERS = r"(PIL|pydicom)\."  # the modules whose warnings are ignored
WHITE = (255, 255, 255, 255)


def settings() -> dict[str, Any]:
    """Return how images are read now, beside their files: what a checkpoint keeps."""
    bands = channels.in_use()
    return {"grey_bits": grey_levels.in_use(), **({"channels": list(bands)} if bands else {})}


def use(described: Mapping[str, Any]) -> None:
    """Have images read from here on, in this process, as a checkpoint says: see `settings`.

    Raises TLError for what means nothing.
    """
    grey_levels.use(described.get("grey_bits", grey_levels.FILE))
    channels.use(described.get("channels"))


def version() -> str:
    """Return what cached pixels are to be named by: equal files then give equal pixels."""
    bits, bands = grey_levels.in_use(), channels.in_use()
    told = [f"{bits}bits"] * bool(bits) + ["_".join(map(str, bands or ()))] * bool(bands)
    return "-".join([str(DECODE_VERSION), *told])


def open_rgb(record: Record, size: int | None = None) -> Picture:
    """Return a record's image, upright, in mode RGB (uint8, height x width x 3).

    `size`: the caller will shrink it until its shorter side has about so many pixels, so a JPEG may
    be decoded at 1/2, 1/4 or 1/8 as long as both sides keep at least `size` pixels. Raises TLError,
    naming the file and what is wrong with it.
    """
    try:
        with opened(record.path) as file:
            return decode(file, size)
    except TLError:
        raise
    except Exception as error:
        raise TLError(f"{short(record.path)} {fault_of(record.path, error)}") from error


def fault_of(path: str, error: BaseException) -> str:
    """Return why reading a record's image raised: see `fault`; of one in a larger file, too."""
    data = None
    if packed.is_packed(path):
        try:
            data = packed.read(path)
        except (OSError, Fault) as reason:  # more than the image is lost
            return fault(path, reason)
    return fault(path, error, data)


def open_rgb_bytes(data: bytes, size: int | None = None) -> Picture:
    """Return the image in the bytes of an image file, as `open_rgb` does. Raises TLError."""
    try:
        return decode(io.BytesIO(data), size)
    except Exception as error:
        raise TLError(f"the image {fault('', error, data)}") from error


def opened(path: str) -> BinaryFile:
    """Return a record's file, open for reading. Raises OSError, and waits for no pipe."""
    if path.startswith(samples.SCHEME):
        return io.BytesIO(samples.read(path))
    if packed.is_packed(path):
        return io.BytesIO(packed.read(path))
    return reading.opened(path)


def decode(file: BinaryFile, size: int | None = None) -> Picture:
    """Return an open image file as RGB; raises whatever Pillow raises, or Fault."""
    image = header(file)
    return pixels(image, size)


def header(file: BinaryFile) -> Picture:
    """Return an image of which only the header has been read; refuses what is too large."""
    from PIL import Image

    _hush()
    image = Image.open(file, formats=_formats())
    if image.width * image.height > BOMB_PIXELS:
        raise Fault(f"is a decompression bomb ({image.width:,}x{image.height:,} pixels)")
    return image


def pixels(image: Picture, size: int | None = None, *, alone: bool = False) -> Picture:
    """Decode an image whose header has been read: RGB, upright.

    `alone`: levels of 16 bits are scaled by what this image holds, not the data set.
    """
    if size:
        image.draft(None, (size, size))  # None: the mode stays
    raw = deep_images.Raw.of(image)  # before it is loaded
    image.load()
    scale = None if alone else grey_levels.in_use()
    shown = deep_images.eight_bits(image, raw, scale) if raw else image
    return _upright(_rgb(shown), orientation(image))


def subject_of(image: Picture) -> str:
    """Return what images of one patient have in common, where the file (DICOM) says so, or ""."""
    return str(getattr(image, "subject", ""))


def squash(image: Picture, size: int) -> Picture:
    """Return the whole image as a square: nothing is cut off, the proportions are not kept."""
    if image.size == (size, size):
        return image
    return image.resize((size, size), 2)  # 2: Image.Resampling.BILINEAR


def _upright(image: Picture, turned: int) -> Picture:
    from PIL.Image import Transpose

    return image.transpose(Transpose[UPRIGHT[turned]]) if turned in UPRIGHT else image


def orientation(image: Picture) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or none that can be read."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a corrupt EXIF block raises all sorts, and the picture is still good
        return 1
    return value if value in UPRIGHT else 1


def _rgb(image: Picture) -> Picture:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _on_white(image: Picture) -> Picture:
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image).convert("RGB")


@functools.cache
def _formats() -> tuple[str, ...]:
    """Import the formats that are read; those of extras too, where these are installed."""
    for plugin in FORMATS.values():
        importlib.import_module(f"PIL.{plugin}ImagePlugin")
    formats = [*FORMATS]
    if heif := _module("pillow_heif"):
        heif.register_heif_opener()
        formats.append("HEIF")
    for own in ("dicom", "bands"):
        if module := _module(f"tl_cli.data.{own}"):
            module.register()
            # before Pillow's TIFF, which takes the first of many bands for red, green and blue
            formats.insert(0 if own == "bands" else len(formats), module.FORMAT)
    # what Pillow's readers of files log, on the way to an error that we tell
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    return tuple(formats)


def _module(name: str) -> ModuleType | None:
    """Return a module; None where what it needs is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _hush() -> None:
    """Have the readers' warnings ignored: what matters of them is told as our own findings.

    Not `catch_warnings`, which is not safe in threads. Looked for each time, because whoever
    does use it drops the filter again.
    """
    if not any(
        getattr(module, "pattern", "") == OF_READERS for _, _, _, module, _ in warnings.filters
    ):
        warnings.filterwarnings("ignore", module=OF_READERS)
