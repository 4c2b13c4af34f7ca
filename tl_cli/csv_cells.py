"""Cells of the CSV files that tl writes, and how they are read back. Pure; opens no file.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return
for a formula, quoted or not, and formulas start programs: a folder called ``=cmd|...`` must not. So
such a cell is written with an apostrophe before it, which spreadsheets hide, and read without it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping

FORMULA = re.compile(r"'*[=+\-@\t\r]")
HARMLESS = re.compile(r"[+-]?(\d+(\.\d+)?)?")  # a number, or a class that is called + or -
QUOTED = re.compile(r'[",\r\n]')


def written(cell: str) -> str:
    """Return a cell as it is written, so that no program takes it for a formula."""
    return f"'{cell}" if FORMULA.match(cell) and not HARMLESS.fullmatch(cell) else cell


def meant(cell: str) -> str:
    """Return what was written as `written` does; any other cell as it is."""
    bare = cell[1:]
    return bare if cell.startswith("'") and FORMULA.match(bare) else cell


def row(cells: Iterable[object]) -> str:
    """Return a line of a table; texts are guarded, and numbers are written as they are.

    The csv module would leave a carriage return unquoted, which ends the row for whoever reads it.
    """
    return ",".join(map(_quoted, cells)) + "\n"


def _quoted(value: object) -> str:
    cell = written(value) if isinstance(value, str) else "" if value is None else str(value)
    return '"' + cell.replace('"', '""') + '"' if QUOTED.search(cell) else cell


def rows(text: str, needed: Collection[str] = ()) -> list[dict[str, str]]:
    """Return the rows of such a table by its header; none of an empty text.

    Raises ValueError where a row is not whole, and for a header without a column that is needed.
    """
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    names = lines[0] if lines else []
    if lines and not {*needed} <= {*names}:
        raise ValueError(f"its columns must be {', '.join(needed)}")
    whole = [cells for cells in lines[1:] if cells]
    return [dict(zip(names, map(meant, cells), strict=True)) for cells in whole]


def table(header: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """Return a table with its header."""
    return row(header) + "".join(map(row, lines))


def of_mappings(header: Iterable[str], lines: Iterable[Mapping[str, object]], lacking: str) -> str:
    """Return a table of mappings; `lacking` stands where one has no such key."""
    names = list(header)
    return table(names, ([line.get(name, lacking) for name in names] for line in lines))
