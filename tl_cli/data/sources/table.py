"""Images listed in a table: CSV, TSV, JSONL or Parquet. A run's manifest.csv is such a table, too.

Opens no image. A row that cannot be understood is an error that names its line: a label is never
guessed.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tl_cli.data.manifest import Manifest, Options, Record
from tl_cli.data.sources.folder import SPLIT_FOLDERS
from tl_cli.data.sources.samples import SCHEME
from tl_cli.errors import TLError, did_you_mean
from tl_cli.humanize import count, naming

NEEDED = ("path", "label")
OPTIONAL = ("split", "group")
Row = Mapping[str, Any]
Rows = Iterator[tuple[int, Row]]  # line number and cells


def listed(source: str, options: Options) -> Manifest:
    """List the rows of a table. Raises TLError, with line numbers, for rows that are unclear."""
    file = Path(source).expanduser().absolute()
    records, notes = _records(file, options.columns)
    return Manifest(source, (), tuple(records), (), notes)


def _records(file: Path, columns: Mapping[str, str]) -> tuple[list[Record], tuple[str, ...]]:
    found: dict[str, tuple[int, Record]] = {}
    wrong: list[str] = []
    repeated = 0
    for line, row in _rows(file, columns):
        try:
            record = _record(row, file.parent)
        except ValueError as error:
            wrong.append(f"line {line}: {error}")
            continue
        first, known = found.setdefault(record.path, (line, record))
        repeated += first != line
        if known != record:
            wrong.append(f"lines {first} and {line}: {_differ(known, record)}")
    if wrong:
        raise TLError(f"'{file.name}', {naming(wrong)}", "correct these lines")
    if not found:
        raise TLError(f"'{file}' lists no images", f"its columns: {', '.join(NEEDED + OPTIONAL)}")
    notes = (f"{count(repeated, 'row')} of '{file.name}' repeat another: left out",)
    return [record for _, record in found.values()], notes if repeated else ()


def _differ(known: Record, record: Record) -> str:
    what = next(f.name for f in fields(Record) if getattr(known, f.name) != getattr(record, f.name))
    old, new = getattr(known, what), getattr(record, what)
    return f"{record.path!r} has two {what}s, {old!r} and {new!r}"


def _record(row: Row, folder: Path) -> Record:
    """Return a row's record. Raises ValueError with what is wrong."""
    cells = {name: _text(row.get(name), name) for name in NEEDED + OPTIONAL}
    for name in NEEDED:
        if not cells[name]:
            raise ValueError(f"no {name}")
    path = cells["path"]
    if not path.startswith(SCHEME):
        path = os.path.normpath(folder / Path(path).expanduser())
    return Record(path, cells["label"], _split(cells["split"]), cells["group"])


def _text(cell: object, name: str) -> str:
    if cell is None or cell != cell:  # NaN is how data frames write an empty cell
        return ""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise ValueError(f"the {name} is {cell!r}, not a text or number")
    # Parquet and JSON turn whole numbers into 3.0 wherever one cell of the column is empty.
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
    return text if name == "path" else text.strip()


def _split(cell: str) -> str:
    if not cell:
        return ""
    if cell.lower() not in SPLIT_FOLDERS:
        near = did_you_mean(cell, SPLIT_FOLDERS) or f"valid: {', '.join(SPLIT_FOLDERS)}"
        raise ValueError(f"unknown split {cell!r} ({near})")
    return SPLIT_FOLDERS[cell.lower()]


def _rows(file: Path, columns: Mapping[str, str]) -> Rows:
    """Yield the table's rows with our names for the columns."""
    names = {name: name for name in NEEDED + OPTIONAL} | dict(columns)
    for line, row in READERS[file.suffix.lower()](file):
        _check_columns(file, names, columns, row)
        yield line, {ours: row.get(theirs) for ours, theirs in names.items()}


def _check_columns(
    file: Path, names: Mapping[str, str], columns: Mapping[str, str], row: Row
) -> None:
    there = [str(name) for name in row]
    for ours, theirs in names.items():
        if theirs in row or (ours in OPTIONAL and ours not in columns):
            continue
        near = did_you_mean(theirs, there)
        raise TLError(
            f"'{file.name}' has no column '{theirs}'" + (f": {near}" if near else ""),
            f"its columns: {', '.join(there)}; the {ours} may be in another one, if it is named",
        )


def text_of(file: Path) -> str:
    """Return a text file's content. Raises TLError where it cannot be read or is no text."""
    try:
        # Names on disk need not be valid UTF-8; write_csv keeps them the same way.
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise TLError(f"'{file}' cannot be read: {error.strerror}", "check it") from error
    if "\0" in text:
        raise TLError(f"'{file.name}' is not a text file in UTF-8", "save it as CSV in UTF-8")
    return text


def delimited(file: Path) -> Rows:
    """Yield the rows of a CSV or TSV file. Raises TLError, with the line, for a broken one."""
    text = text_of(file)
    header = text.partition("\n")[0]
    comma = ";" if ";" in header and "," not in header else ","  # as spreadsheets in Europe write
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter="\t" if file.suffix.lower() == ".tsv" else comma,
        strict=True,
    )
    try:
        names = [name.strip() for name in next(reader, [])]
        for cells in reader:
            if len(cells) not in (0, len(names)):
                raise TLError(
                    f"'{file.name}', line {reader.line_num}: {count(len(cells), 'cell')}"
                    f" where the header has {len(names)}",
                    "put a cell that contains a comma or a quote in double quotes",
                )
            if any(cells):
                yield reader.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise TLError(
            f"'{file.name}', line {reader.line_num}: {error}", "look for a quote without its pair"
        ) from error


def _json_lines(file: Path) -> Rows:
    for line, text in enumerate(text_of(file).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
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
