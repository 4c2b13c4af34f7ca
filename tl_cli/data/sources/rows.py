"""The rows of a CSV, TSV, JSONL or Parquet file, as they are written. Opens no image.

Knows nothing of what the columns mean, but for the names by which a header is recognised.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_cli import csv_cells
from tl_cli.data.sources.encoding import text_of
from tl_cli.data.sources.headers import NEEDED, is_image, is_number
from tl_cli.errors import TLError
from tl_cli.humanize import count

COMMAS_FIRST, TABS_FIRST = ",;\t|", "\t,;|"  # the first of those that fit as well
RARE = " :"  # only where a known name says so
SNIFFED = 100_000  # characters in which the delimiter is looked for
OURS = "path,label,split,group,digest,"  # how a manifest.csv begins
DELIMITED = (".csv", ".tsv")
Row = Mapping[str, Any]
Rows = Iterator[tuple[int, Row]]  # line number and cells


def delimited(file: Path, known: Collection[str] = NEEDED) -> Rows:
    """Yield the rows of a CSV or TSV file. Raises TLError, with the line, for a broken one.

    `known`: names of columns, by which the delimiter and the header are recognised. Without a
    header, columns are called 1, 2, 3, ...; two of them, one of images, path and label.
    """
    text = text_of(file, OURS)
    said = re.match(r"sep=(.)\r?\n", text, re.I)  # a line that Excel writes and reads
    delimiter = said[1] if said else _delimiter(file, text, known)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        strict=True,
        skipinitialspace=_is_spaced(text, delimiter),
    )
    start = 1
    try:
        names = [name.strip() for name in _first(reader, bool(said))]
        if headless := _headless(names, known):
            yield 1, dict(zip(headless, names, strict=True))
            names = headless
        _check_names(file, names, known)
        start = reader.line_num + 1
        for line, row in _rows(file, reader, names):
            yield line, row
            start = line + 1
    except csv.Error as error:
        raise TLError(
            f"'{file.name}', line {reader.line_num}: {error}",
            f"look for a quote without its pair, from line {start} on",
        ) from error


def _is_spaced(text: str, delimiter: str) -> bool:
    """Whether cells in quotes have a blank before them: ``"a", "b"``."""
    lines = [line for line in text[:SNIFFED].splitlines()[1:20] if line.strip()]
    spaced = re.compile(rf'"{re.escape(delimiter)} +"')
    return bool(lines) and all(map(spaced.search, lines))


def _first(reader: Iterator[list[str]], said: bool) -> list[str]:
    """Return the first line that is neither empty nor a comment nor Excel's."""
    if said:
        next(reader)
    return next((row for row in reader if any(row) and not row[0].startswith("#")), [])


def _rows(file: Path, reader: Any, names: Sequence[str]) -> Rows:
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if any(cell.strip() for cell in cells[len(names) :]) or len(cells) < len(names):
            raise TLError(
                f"'{file.name}', line {reader.line_num}: {count(len(cells), 'cell')}"
                f" where the header has {len(names)}",
                "put a cell that contains a comma or a quote in double quotes",
            )
        yield (
            reader.line_num,
            dict(zip(names, map(csv_cells.meant, cells[: len(names)]), strict=True)),
        )


def _check_names(file: Path, names: Sequence[str], known: Collection[str]) -> None:
    """Raise TLError where a column that is meant is there twice."""
    twice = [name for name, n in Counter(names).items() if n > 1 and name in known]
    if twice:
        raise TLError(
            f"'{file.name}' has two columns called '{twice[0]}'", "rename or remove one of them"
        )


def _delimiter(file: Path, text: str, known: Collection[str]) -> str:
    """Return what parts the header: known names decide, then even rows, then the width."""
    lines = [line for line in text[:SNIFFED].splitlines() if line.strip()][:20]
    lines = [line for line in lines if not line.startswith("#")]
    names = {name.casefold() for name in known}

    def fits(delimiter: str) -> tuple[bool, bool, int]:
        try:
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            return False, False, 0
        header = [name.strip().casefold() for name in rows[0]] if rows else []
        even = len(header) > 1 and all(len(row) == len(header) for row in rows)
        is_known = len(header) > 1 and not names.isdisjoint(header)
        if delimiter in RARE and not is_known:
            return False, False, 0
        return is_known, even, len(header)

    first = TABS_FIRST if file.suffix.lower() == ".tsv" else COMMAS_FIRST
    return max(first + RARE, key=fits)


def _headless(first: Sequence[str], known: Collection[str]) -> list[str]:
    """Return names for the columns where the first line is a row of images; else none."""
    if {cell.casefold() for cell in first} & {name.casefold() for name in known}:
        return []
    images = [is_image(cell) for cell in first]
    if len(first) == 2 and sum(images) == 1:
        return ["path", "label"] if images[0] else ["label", "path"]
    numbered = any(map(is_number, known))  # as the user calls them
    return [str(i) for i in range(1, len(first) + 1)] if numbered or any(images) else []


def _json_lines(file: Path) -> Rows:
    for line, text in enumerate(text_of(file).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise TLError(
                f"'{file.name}', line {line}: not JSON ({error})", "one object a line"
            ) from error
        if not isinstance(row, dict):
            raise TLError(f"'{file.name}', line {line}: not a JSON object", "one object a line")
        yield line, row


def _parquet(file: Path) -> Rows:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise TLError(f"'{file.name}' needs pyarrow to be read", "pip install pyarrow") from error
    try:
        rows: list[Row] = parquet.read_table(file).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise TLError(f"'{file.name}' is not a Parquet file: {error}", "check the file") from error
    return iter(enumerate(rows, start=1))


READERS: dict[str, Callable[[Path], Rows]] = {
    ".csv": delimited,
    ".tsv": delimited,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
}
