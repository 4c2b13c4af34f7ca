"""Which HTML files tl wrote itself, so that no other is ever written over. Writes nothing."""

from __future__ import annotations

import os
from pathlib import Path

from tl_cli.errors import TLError

GENERATOR = b'<meta name="generator" content="tl">'
HEAD = 2048  # bytes at the beginning of a page that hold it


def check(path: Path) -> None:
    """Raise TLError where something lies that is not a page of tl's."""
    if os.path.lexists(path) and not _is_ours(path):
        raise TLError(
            f"'{path}' is there already, and tl did not write it", "choose another --output"
        )


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(HEAD)
    except OSError:
        return False
    return not start or GENERATOR in start
