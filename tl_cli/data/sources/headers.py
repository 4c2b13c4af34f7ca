"""Which column of a table is meant: by its name, and by what others call such columns. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from tl_cli.data.decode import SUFFIXES
from tl_cli.errors import TLError, did_you_mean

NEEDED = ("path", "label")
OPTIONAL = ("split", "group")
OF_PATHS = (
    *("filepath", "file_path", "image_path", "img_path", "filename", "file_name", "image_name"),
    *("image", "img", "file", "image_file", "image_id", "img_id", "id", "id_code", "name"),
)
OF_LABELS = (
    *("class", "label_name", "class_name", "labels", "category", "target", "species", "breed"),
    *("diagnosis", "variety", "class_id", "label_id", "label_group", "y", "tag", "name"),
)


def column(name: str, row: Mapping[str, object]) -> str:
    """Return what a column is called in a row: the name, or the only one like it but for case."""
    alike = [theirs for theirs in row if theirs.strip().casefold() == name.casefold()]
    return alike[0] if name not in row and len(alike) == 1 else name


def check(
    file: Path, names: Mapping[str, str], columns: Mapping[str, str], row: Mapping[str, object]
) -> None:
    """Raise TLError where a row lacks a column, with the option that would name it.

    `names`: by our names, what the columns are taken to be called; `columns`: what the user said.
    """
    there = [str(name) for name in row]
    for ours, theirs in names.items():
        if theirs in row or (ours in OPTIONAL and ours not in columns):
            continue
        if all(map(is_number, there)):
            first = ", ".join(str(cell) for cell in row.values())
            raise TLError(
                f"'{file.name}' has no header: its first line is {first!r}",
                f"name the columns by their numbers: {_by_number(row)}; or put a line above it,"
                " such as path,label,split",
            )
        near = did_you_mean(theirs, there)
        raise TLError(
            f"'{file.name}' has no column '{theirs}'" + (f": {near}" if near else ""),
            f"its columns: {', '.join(there)}; name those meant: {_naming(there, columns)}",
        )


def naming_option(there: Sequence[str]) -> str | None:
    """Return the option that names the columns by what they are usually called.

    "" where it is not needed, None where a column is not recognised.
    """
    guesses = _guesses(there, {})
    if not all(guesses.values()):
        return None
    named = [f"{ours}={theirs}" for ours, theirs in guesses.items() if ours != theirs]
    return "--columns " + shlex.quote(",".join(named)) if named else ""


def is_image(cell: str) -> bool:
    """Return whether a cell is the name of an image by its ending."""
    return Path(cell.strip()).suffix.lower() in SUFFIXES


def is_number(name: str) -> bool:
    """Return whether a name is a number, as columns without a header are called."""
    return re.fullmatch(r"[1-9]\d*", name) is not None


def _naming(there: Sequence[str], columns: Mapping[str, str]) -> str:
    """Return the option that would name the columns, as far as their names let one guess."""
    guesses = _guesses(there, columns)
    named = ",".join(f"{ours}={theirs or '...'}" for ours, theirs in guesses.items())
    return f"--columns {shlex.quote(named)}"


def _by_number(row: Mapping[str, object]) -> str:
    paths = [number for number, cell in row.items() if is_image(str(cell))]
    words = [n for n, cell in row.items() if n not in paths and not str(cell).isdigit()]
    return f"--columns path={(paths or ['...'])[0]},label={(words or ['...'])[0]}"


def _guesses(there: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Return which columns seem to be those that are needed; "" for one that none seems to be."""
    chosen: dict[str, str] = {}
    for ours, usual in (("path", OF_PATHS), ("label", OF_LABELS)):
        known = (ours, *usual)
        guesses = [name for name in there if _plain(name) in known]
        guesses.sort(key=lambda name: known.index(_plain(name)))
        left = [name for name in guesses if name not in chosen.values()]
        if (given := columns.get(ours, "")) in there:
            left = [given]
        chosen[ours] = left[0] if left else ""
    return chosen


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.strip().casefold())
