"""Why an image file cannot be used, in plain words. Knows what file formats begin with."""

from __future__ import annotations

import codecs
import importlib.util
import os
import re
import stat
from pathlib import Path

# Pillow's own limit for certain refusal: twice its MAX_IMAGE_PIXELS, 512 MiB as RGB.
BOMB_PIXELS = 178_956_970

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
MAGIC = {  # the mark, and what such a file is called if it is not an image
    b"%PDF": "PDF",
    b"PK\x03\x04": "zip archive",
    b"\x1f\x8b": "gzip archive",
    b"Rar!": "rar archive",
    b"%!PS": "PostScript",
    b"8BPS": "Photoshop document",
}
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
IMAGE_MAGIC = (JPEG, PNG, b"GIF8", b"BM", *TIFF, b"P4", b"P5", b"P6")


class Fault(Exception):
    """A reason in plain words that continues a sentence opened by the file's name."""


def fault(path: str, error: BaseException, data: bytes | None = None) -> str:
    """Return why reading an image raised, as what follows the name: ``is cut short``."""
    if isinstance(error, Fault):
        return str(error)
    told = _of_system(path, error) if isinstance(error, OSError) and error.errno else ""
    if told:
        return told
    if type(error).__name__ == "DecompressionBombError":
        found = re.search(r"\d+", str(error))
        return f"is a decompression bomb ({int(found[0]):,} pixels)" if found else "is a bomb"
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    try:
        return _of_content(*_ends(path, data), error)
    except OSError:
        return "cannot be read"


def _of_system(path: str, error: OSError) -> str:
    match error:
        case PermissionError():
            return "cannot be opened (permission denied)"
        case FileNotFoundError() if Path(path).is_symlink():
            return "is a broken link"
        case FileNotFoundError():
            return "does not exist"
        case IsADirectoryError():
            return "is a folder"
    return f"cannot be read ({(error.strerror or str(error)).lower()})"


def _ends(path: str, data: bytes | None) -> tuple[int, bytes, bytes]:
    """Return the number of bytes, the first 512 and the last 64."""
    if data is not None:
        return len(data), data[:512], data[-64:]
    with Path(path).open("rb") as file:
        head = file.read(512)
        size = file.seek(0, 2)
        file.seek(max(0, size - 64))
        return size, head, file.read()


def _of_content(size: int, head: bytes, tail: bytes, error: BaseException) -> str:
    if size == 0:
        return "is empty"
    if re.search("truncat|cut|unexpected end", str(error), re.I) or _is_cut(size, head, tail):
        return "is cut short"
    if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        return "is HEIC, which needs pillow-heif (pip install pillow-heif)"
    if head.startswith(b"DICM", 128) and not _installed("pydicom"):
        return "is DICOM, which needs pydicom (pip install pydicom)"
    if head.startswith(TIFF) and "cannot identify" in str(error) and not _installed("tifffile"):
        return "is a TIFF that Pillow does not read: tifffile may (pip install tifffile)"
    if _is_image(head):
        return "is damaged"
    return f"is not an image ({_kind(head)})"


def _is_cut(size: int, head: bytes, tail: bytes) -> bool:
    if head.startswith(JPEG):
        return b"\xff\xd9" not in tail
    if head.startswith(PNG):
        return b"IEND" not in tail
    if head.startswith(b"RIFF"):
        return size < 8 + int.from_bytes(head[4:8], "little")
    if head.startswith(b"BM"):
        return size < int.from_bytes(head[2:6], "little")
    if head.startswith(b"GIF8"):
        return not tail.rstrip(b"\0").endswith(b";")
    return any(len(head) < len(mark) and mark.startswith(head) for mark in (JPEG, PNG, b"GIF8"))


def _is_image(head: bytes) -> bool:
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    if head.startswith(b"DICM", 128):
        return True
    return head.startswith(IMAGE_MAGIC) or head[4:12] in (b"ftypavif", b"ftypavis")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _kind(head: bytes) -> str:
    for mark, name in MAGIC.items():
        if head.startswith(mark):
            return name
    if re.match(rb"\s*<(!doctype html|html)", head, re.I):
        return "HTML"
    if not head.strip(b"\0"):
        return "only zeros"
    return "text" if _is_text(head) else "unknown content"


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c.isspace() for c in text)


def check_regular(path: str) -> None:
    """Raise Fault or OSError unless the path is a file: opening a pipe would wait for ever."""
    mode = os.stat(path).st_mode  # noqa: PTH116  # a Path object takes longer than the question
    if not stat.S_ISREG(mode):
        raise Fault("is a folder" if stat.S_ISDIR(mode) else "is not a regular file")
