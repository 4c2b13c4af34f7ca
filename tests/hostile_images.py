"""Image files that cost more than they seem to, or are none: made on the spot."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from conftest import picture

PAGES, FRAMES = 1000, 10_000
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, rows: bytes | None = None) -> bytes:
    """Return a grey PNG of one colour, with further chunks before its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = bytes((width + 1) * height) if rows is None else rows
    body = chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + body


def packed(megabytes: int) -> bytes:
    """Return zeros, packed a thousand times smaller."""
    return zlib.compress(bytes(megabytes * 1_000_000), 9)


def tiff(path: Path) -> None:
    first, *others = [picture(i, (8, 8)) for i in range(PAGES)]
    first.save(path, save_all=True, append_images=others)


def gif(path: Path) -> None:
    """Write a GIF of ten thousand frames: one frame's bytes again and again."""
    picture(1, (8, 8)).convert("P").save(path)
    data = path.read_bytes()
    start = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    path.write_bytes(data[:start] + data[start:-1] * FRAMES + data[-1:])


def with_exif(exif: bytes) -> Callable[[Path], None]:
    return lambda path: picture(2).save(path, exif=exif)


def cut(path: Path) -> None:
    picture(3, (200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:-400])


def written(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


GOOD: dict[str, Callable[[Path], object]] = {  # odd, and an image nevertheless
    "wide.png": written(png(65_500, 1)),
    "high.png": written(png(1, 65_500)),
    "wide.jpg": lambda path: Image.new("RGB", (65_500, 1)).save(path),
    "pages.tif": tiff,
    "frames.gif": gif,
    "exif.jpg": with_exif(b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "exif_loop.jpg": with_exif(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0"),
    "icc.jpg": lambda path: picture(4).save(path, icc_profile=b"\xff" * 5000),
    "profile.png": written(png(8, 8, chunk(b"iCCP", b"a\0\0" + zlib.compress(b"x" * 1000)))),
}
BAD: dict[str, Callable[[Path], object]] = {
    "bomb.png": written(png(60_000, 60_000, rows=b"")),
    "short.png": written(png(10_000, 10_000, rows=b"\0" * 1000)),
    "text_bomb.png": written(png(8, 8, chunk(b"zTXt", b"a\0\0" + packed(300)))),
    "profile_bomb.png": written(png(8, 8, chunk(b"iCCP", b"a\0\0" + packed(300)))),
    "cut.jpg": cut,
    "svg.jpg": written(SVG),
    "html.jpg": written(HTML),
    "empty.jpg": written(b""),
    "zeros.jpg": written(bytes(1000)),
    "script.png": written(b"#!/bin/sh\ntouch executed\n"),
    "postscript.jpg": written(b"%!PS\n(executed) (w) file closefile\n"),
    "pipe.png": os.mkfifo,
    "device.png": lambda path: path.symlink_to("/dev/zero"),
    "loop.png": lambda path: path.symlink_to(path.name),
    "broken.png": lambda path: path.symlink_to("nowhere"),
    "folder.png": Path.mkdir,
}


def listen(path: Path) -> socket.socket:
    """Put a socket at the path; it is there until it is closed and removed."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.relpath(path))  # the whole path may be too long for one
    return server


def write(folder: Path) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in {**GOOD, **BAD}.items():
        make(folder / name)
