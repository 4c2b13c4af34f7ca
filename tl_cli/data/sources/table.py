"""Images listed in a table: CSV, TSV, JSONL or Parquet. A run's manifest.csv is such a table, too.

Opens no image. A row that cannot be understood is an error that names its line: a label is never
guessed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tl_cli import csv_cells
from tl_cli.data.decode import SUFFIXES
from tl_cli.data.manifest import Manifest, Options, Record
from tl_cli.data.sources import encoding, located
from tl_cli.data.sources.encoding import text_of
from tl_cli.data.sources.folder import SPLIT_FOLDERS
from tl_cli.data.sources.samples import SCHEME
from tl_cli.errors import TLError, did_you_mean
from tl_cli.humanize import count, naming

NEEDED = ("path", "label")
OPTIONAL = ("split", "group")
COMMAS_FIRST, TABS_FIRST = ",;\t|", "\t,;|"  # the first of those that fit as well
SNIFFED = 100_000  # characters in which the delimiter is looked for
OURS = "path,label,split,group,digest,"  # how a manifest.csv begins
DELIMITED = (".csv", ".tsv")
WHOLE = ("path", "label", "group")  # columns in which 3.0 is 3 where all are such
WHOLE_NUMBER = re.compile(r"-?[0-9]+(\.0+)?")
OF_PATHS = ("image", "img", "file", "filename", "file_name", "image_id", "id", "name", "filepath")
OF_LABELS = ("class", "category", "target", "species", "breed", "diagnosis", "y", "tag", "name")
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
    cells: list[str] = []
    repeated = 0
    located.forget()
    rows = list(_rows(file, columns))
    whole = [name for name in WHOLE if _is_whole([row[name] for _, row in rows])]
    for line, row in rows:
        try:
            texts = {name: _text(row[name], name, name in whole) for name in row}
            record = _record(texts, file.parent)
        except ValueError as error:
            wrong.append(f"line {line}: {error}")
            continue
        cells.append(texts["path"])
        first, known = found.setdefault(record.path, (line, record))
        repeated += first != line
        if known != record:
            wrong.append(f"lines {first} and {line}: {_differ(known, record)}")
    if wrong:
        raise TLError(f"'{file.name}', {naming(wrong)}", "correct these lines")
    if not found:
        raise TLError(f"'{file}' lists no images", f"its columns: {', '.join(NEEDED + OPTIONAL)}")
    if not any(path.startswith(SCHEME) or os.path.lexists(path) for path in found):
        raise located.none_there(file, cells)
    records = [record for _, record in found.values()]
    return records, tuple(_notes(file, rows[0][0], repeated))


def _notes(file: Path, first: int, repeated: int) -> Iterator[str]:
    if file.suffix.lower() in DELIMITED:
        if note := encoding.note_of(file):
            yield note
        if first == 1:
            yield f"'{file.name}' has no header: taken for paths of images and their labels"
    if repeated:
        yield f"{count(repeated, 'row')} of '{file.name}' repeat another: left out"


def _differ(known: Record, record: Record) -> str:
    what = next(f.name for f in fields(Record) if getattr(known, f.name) != getattr(record, f.name))
    old, new = getattr(known, what), getattr(record, what)
    return f"{record.path!r} has two {what}s, {old!r} and {new!r}"


def _record(cells: Mapping[str, str], folder: Path) -> Record:
    """Return a row's record. Raises ValueError with what is wrong."""
    for name in NEEDED:
        if not cells[name].strip():
            raise ValueError(f"no {name}")
    path = located.located(cells["path"], folder)
    return Record(path, cells["label"], _split(cells["split"]), cells["group"])


def _is_empty(cell: object) -> bool:
    return cell is None or cell != cell or cell == ""  # NaN is how data frames write an empty cell


def _is_whole(cells: Sequence[object]) -> bool:
    """Return whether every cell that is not empty is a whole number written as 3.0.

    Data frames turn whole numbers into floats wherever one cell of the column is empty.
    """
    texts = [cell for cell in cells if not _is_empty(cell)]
    return bool(texts) and all(WHOLE_NUMBER.fullmatch(str(cell).strip()) for cell in texts)


def _text(cell: object, name: str, whole: bool = False) -> str:
    if _is_empty(cell):
        return ""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise ValueError(f"the {name} is {cell!r}, not a text or number")
    if isinstance(cell, str) and "\0" in cell:  # no file could hold it
        raise ValueError(f"the {name} {cell[:60]!r} holds a zero byte")
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
    if whole:
        text = text.strip().partition(".")[0]
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
    ending = file.suffix.lower()
    rows = delimited(file, names.values()) if ending in DELIMITED else READERS[ending](file)
    for line, row in rows:
        own = {ours: _column(theirs, row) for ours, theirs in names.items()}
        _check_columns(file, own, columns, row)
        yield line, {ours: row.get(theirs) for ours, theirs in own.items()}


def _column(name: str, row: Row) -> str:
    """Return what a column is called in a row: the name, or the only one like it but for case."""
    alike = [theirs for theirs in row if theirs.strip().casefold() == name.casefold()]
    return alike[0] if name not in row and len(alike) == 1 else name


def _check_columns(
    file: Path, names: Mapping[str, str], columns: Mapping[str, str], row: Row
) -> None:
    there = [str(name) for name in row]
    for ours, theirs in names.items():
        if theirs in row or (ours in OPTIONAL and ours not in columns):
            continue
        if any(map(is_image, there)):
            first = ", ".join(there)
            raise TLError(
                f"'{file.name}' has no header: its first line is {first!r}",
                "put a line above it that names the columns, such as path,label,split",
            )
        near = did_you_mean(theirs, there)
        raise TLError(
            f"'{file.name}' has no column '{theirs}'" + (f": {near}" if near else ""),
            f"its columns: {', '.join(there)}; name those meant: {_naming(there, columns)}",
        )


def _naming(there: Sequence[str], columns: Mapping[str, str]) -> str:
    """Return the option that would name the columns, as far as their names let one guess."""
    chosen: dict[str, str] = {}
    for ours, usual in (("path", OF_PATHS), ("label", OF_LABELS)):
        known = (ours, *usual)
        guesses = [name for name in there if name.strip().casefold() in known]
        guesses.sort(key=lambda name: known.index(name.strip().casefold()))
        left = [name for name in guesses if name not in chosen.values()]
        if (given := columns.get(ours, "")) in there:
            left = [given]
        chosen[ours] = left[0] if left else "..."
    return "--columns " + ",".join(f"{ours}={theirs}" for ours, theirs in chosen.items())


def delimited(file: Path, known: Collection[str] = NEEDED) -> Rows:
    """Yield the rows of a CSV or TSV file. Raises TLError, with the line, for a broken one.

    `known`: names of columns, by which the delimiter and the header are recognised.
    """
    text = text_of(file, OURS)
    said = re.match(r"sep=(.)\r?\n", text, re.I)  # a line that Excel writes and reads
    delimiter = said[1] if said else _delimiter(file, text, known)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if said:
            next(reader)
        names = [name.strip() for name in next(reader, [])]
        if headless := _headless(names, known):
            yield 1, dict(zip(headless, names, strict=True))
            names = headless
        for cells in reader:
            if len(cells) not in (0, len(names)):
                raise TLError(
                    f"'{file.name}', line {reader.line_num}: {count(len(cells), 'cell')}"
                    f" where the header has {len(names)}",
                    "put a cell that contains a comma or a quote in double quotes",
                )
            if any(cells):
                yield reader.line_num, dict(zip(names, map(csv_cells.meant, cells), strict=True))
    except csv.Error as error:
        raise TLError(
            f"'{file.name}', line {reader.line_num}: {error}", "look for a quote without its pair"
        ) from error


def _delimiter(file: Path, text: str, known: Collection[str]) -> str:
    """Return what parts the header: known names decide, then even rows, then the width."""
    lines = [line for line in text[:SNIFFED].splitlines() if line.strip()][:20]
    names = {name.casefold() for name in known}

    def fits(delimiter: str) -> tuple[bool, bool, int]:
        try:
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            return False, False, 0
        header = [name.strip().casefold() for name in rows[0]] if rows else []
        even = len(header) > 1 and all(len(row) == len(header) for row in rows)
        return len(header) > 1 and not names.isdisjoint(header), even, len(header)

    return max(TABS_FIRST if file.suffix.lower() == ".tsv" else COMMAS_FIRST, key=fits)


def _headless(first: Sequence[str], known: Collection[str]) -> list[str]:
    """Return the names of two columns without a header, one of them of images; else none."""
    images = [is_image(cell) for cell in first]
    if len(first) != 2 or sum(images) != 1 or {c.casefold() for c in first} & set(known):
        return []
    return ["path", "label"] if images[0] else ["label", "path"]


def is_image(cell: str) -> bool:
    """Return whether a cell is the name of an image by its ending."""
    return Path(cell.strip()).suffix.lower() in SUFFIXES


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
