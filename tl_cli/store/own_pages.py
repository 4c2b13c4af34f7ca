"""Which pages and pictures tl wrote itself, so that no other is ever written over. Writes nothing.

A page or picture says so itself; in a folder that tl marked, or a run's, all are its own.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tl_cli.errors import TLError
from tl_cli.store.marker import is_ours
from tl_cli.store.run_dir import PICTURES

GENERATOR = b'<meta name="generator" content="tl">'
OF_PICTURES = {"Software": "tl"}  # what a PNG says of itself
SIGNATURE, NAMED = b"\x89PNG\r\n\x1a\n", b"tEXtSoftware\0tl"
NAMES = frozenset(  # of the pictures that commands write into a folder of the user's
    {"samples.png", "classes.png", "sizes.png", "augment.png", *PICTURES}
)
OF_AN_IMAGE = ".gradcam.png"  # what the name of an image's own picture ends in
HEAD = 2048  # bytes at the beginning of a file that hold it


def check(path: Path) -> None:
    """Raise TLError where something lies that is not a page or picture of tl's."""
    if os.path.lexists(path) and not _is_ours(path):
        raise TLError(
            f"'{path}' is there already, and tl did not write it",
            "choose another place for it, or move that file away",
        )


def is_picture(path: str) -> bool:
    """Whether a file is a picture that a command drew, by its name and by what it says of itself.

    Reads nothing of files with other names.
    """
    named = path.endswith(OF_AN_IMAGE) or path.rpartition(os.sep)[2] in NAMES
    return named and NAMED in _start(Path(path))


def _start(path: Path) -> bytes:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(HEAD)
    return b""


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(HEAD)
    except OSError:
        return False
    if start.startswith(SIGNATURE):
        return NAMED in start or is_ours(path.parent)
    return not start or GENERATOR in start
