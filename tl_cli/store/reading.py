"""Files that may be anything, read as what they should be: regular ones alone, and bounded.

A pipe or a device under the name would be waited for without end, and a file of any size would be
taken into memory. Knows nothing of what the files mean.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tl_cli import csv_cells
from tl_cli.errors import TLError, did_you_mean
from tl_cli.humanize import size

MOST_JSON = 64_000_000  # bytes; metrics.json of a thousand classes has about 10 MB
MOST_TABLE = 2_000_000_000  # bytes; manifest.csv of a million images has about 250 MB
AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # a pipe is opened, not waited for
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"  # what a .keras file is


def opened(path: str | Path) -> io.BufferedReader:
    """Return a file, open for reading. Raises OSError where it is not a regular one, at once.

    What was opened is asked, not the name: another file may lie under that by now.
    """
    file = open(path, "rb", opener=_at_once)  # noqa: SIM115  # a Path takes its time
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return file


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | AT_ONCE)


def bytes_of(path: Path, most: int) -> bytes:
    """Return a file's content. Raises OSError for one that is not regular or has more bytes."""
    with opened(path) as file:
        # asked for as many bytes as there are: room is made for all that are asked for
        data = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"is larger than {size(most)}", str(path))
    return data


def text_of(path: Path, most: int) -> str:
    """Return a text file's content. Raises OSError for one that is not regular or has more bytes.

    And ValueError for one that is not UTF-8, or whose name holds a zero byte.
    """
    return bytes_of(path, most).decode("utf-8")


def json_of(path: Path, most: int = MOST_JSON) -> Any:
    """Return a JSON file's value. Raises OSError or ValueError, as `text_of`, where there is none.

    Its types are whatever the file says.
    """
    text = bytes_of(path, most).decode("utf-8", "surrogateescape")  # names on disk are any bytes
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def rows_of(path: Path, needed: Collection[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file that tl wrote, names on disk byte for byte.

    Raises OSError or ValueError where there is none, or one that lacks a needed column.
    """
    text = bytes_of(path, MOST_TABLE).decode("utf-8", "surrogateescape")
    return csv_cells.rows(text, needed)


def check_weights(path: Path) -> None:
    """Raise TLError unless there is a file in HDF5, which alone is read as weights. Opens no array.

    Needs no framework, so that a mistake in the name is told at once.
    """
    try:
        with opened(path) as file:
            head = file.read(len(HDF5))
    except FileNotFoundError:
        raise TLError(f"weights file not found: {path}", _near(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TLError(f"the weights file {path} cannot be opened: {reason}") from error
    if head != HDF5 or path.suffix != ".h5":
        what = "a .keras or other zip archive" if head.startswith(ZIP) else "no such file"
        raise TLError(
            f"weights are read from HDF5 files that end with .weights.h5, and {path} is {what}",
            "save them with model.save_weights('NAME.weights.h5')",
        )


def _near(path: Path) -> str:
    try:
        beside = [p.name for p in path.absolute().parent.iterdir() if p.suffix == ".h5"]
    except OSError:
        return f"there is no folder '{path.parent}'"
    return did_you_mean(path.name, beside) or "give a .weights.h5 of the backbone, without its top"
