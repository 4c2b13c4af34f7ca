"""Images listed in a table: CSV, TSV, JSONL or Parquet. A run's manifest.csv is such a table, too.

Opens no image. A row that cannot be understood is an error that names its line: a label is never
guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tl_cli.data import label_forms, quantities
from tl_cli.data.manifest import (
    CLASSIFICATION,
    MULTILABEL,
    REGRESSION,
    Manifest,
    Options,
    Record,
    names_in,
)
from tl_cli.data.sources import encoding, headers, indicators, located
from tl_cli.data.sources.headers import NEEDED, OPTIONAL
from tl_cli.data.sources.rows import DELIMITED, READERS, Rows, delimited
from tl_cli.data.sources.samples import SCHEME
from tl_cli.data.sources.split_names import SPLIT_FOLDERS, split_of
from tl_cli.errors import TLError, did_you_mean
from tl_cli.humanize import count, naming

LABEL, LABELS = "label", "labels"
WHOLE = ("path", "label", "group")  # columns in which 3.0 is 3 where all are such
WHOLE_NUMBER = re.compile(r"-?[0-9]+(\.0+)?")


def listed(source: str, options: Options) -> Manifest:
    """List the rows of a table. Raises TLError, with line numbers, for rows that are unclear."""
    file = Path(source).expanduser().absolute()
    located.forget()
    read_rows = list(read(file, _names(options.columns).values()))
    names = _named(read_rows, options.columns)
    flags = options.task not in (CLASSIFICATION, REGRESSION)
    cells = list(_cells(file, read_rows, names, options.columns, several=flags))
    several = any(isinstance(row["label"], list) for _, row in cells)
    rows = list(_texts(file, cells))
    places = located.below(file, [texts["path"] for _, texts in rows])
    records, repeated = _records(file, rows, places, NEEDED[:1] if several else NEEDED)
    if not any(r.path.startswith(SCHEME) or os.path.lexists(r.path) for r in records):
        raise located.none_there(file, [texts["path"] for _, texts in rows])
    notes = [*_notes(file, rows[0][0], repeated), *located.notes(file, places)]
    task = MULTILABEL if several else CLASSIFICATION
    if several:
        known = sorted({name for record in records for name in names_in(record.label, task)})
        notes.append(f"an image may have several labels: {naming(known)}")
    found = Manifest(source, (), tuple(records), (), tuple(notes), task=task)
    label = headers.column(names[LABEL], read_rows[0][1])
    own = label.startswith(quantities.COLUMN) and options.task == label_forms.AUTO
    said = REGRESSION if own else options.task  # a run's manifest says it itself
    return label_forms.formed(found, said, quantities.name_of(label))


def _texts(
    file: Path, rows: Sequence[tuple[int, Mapping[str, Any]]]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line numbers and cells as text, under our names. Raises TLError for other cells."""
    if not rows:
        raise TLError(f"'{file}' lists no images", f"its columns: {', '.join(NEEDED + OPTIONAL)}")
    whole = [name for name in WHOLE if _is_whole([row[name] for _, row in rows])]
    wrong: list[str] = []
    for line, row in rows:
        try:
            texts = {name: _text(row[name], name, name in whole) for name in row}
        except ValueError as error:
            wrong.append(f"line {line}: {error}")
            continue
        yield line, texts
    if wrong:
        raise TLError(f"'{file.name}', {naming(wrong)}", "correct these lines")


def _records(
    file: Path,
    rows: Sequence[tuple[int, Mapping[str, str]]],
    places: Mapping[str, str],
    needed: Sequence[str],
) -> tuple[list[Record], int]:
    """Return a record for each image, and how many rows only repeat another one."""
    known: dict[str, tuple[int, Record]] = {}
    wrong: list[str] = []
    repeated = 0
    for line, texts in rows:
        try:
            record = _record(texts, file.parent, places, needed)
        except ValueError as error:
            wrong.append(f"line {line}: {error}")
            continue
        first, before = known.setdefault(record.path, (line, record))
        repeated += first != line
        if before != record:
            wrong.append(f"lines {first} and {line}: {_differ(before, record)}")
    if wrong:
        raise TLError(f"'{file.name}', {naming(wrong)}", "correct these lines")
    return [record for _, record in known.values()], repeated


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


def _record(
    cells: Mapping[str, str], folder: Path, places: Mapping[str, str], needed: Sequence[str]
) -> Record:
    """Return a row's record. Raises ValueError with what is wrong."""
    for name in needed:
        if not cells[name].strip():
            raise ValueError(f"no {name}")
    path = places.get(cells["path"]) or located.located(cells["path"], folder)
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
    if name == "label" and isinstance(cell, list):
        return indicators.joined(cell)
    if _is_empty(cell):
        return ""
    if not isinstance(cell, str | int | float):
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
    if not split_of(cell):
        near = did_you_mean(cell, SPLIT_FOLDERS) or f"valid: {', '.join(SPLIT_FOLDERS)}"
        raise ValueError(f"unknown split {cell!r} ({near})")
    return split_of(cell)


def read(file: Path, known: Collection[str] = ()) -> Rows:
    """Yield a table's rows with its own names for the columns; `known`: some of those names."""
    ending = file.suffix.lower()
    return delimited(file, {*NEEDED, *known}) if ending in DELIMITED else READERS[ending](file)


def _names(columns: Mapping[str, str]) -> dict[str, str]:
    """Return what the columns are called, by our names, before the table was looked at."""
    return {name: name for name in NEEDED + OPTIONAL} | dict(columns)


def _named(
    rows: Sequence[tuple[int, Mapping[str, Any]]], columns: Mapping[str, str]
) -> dict[str, str]:
    """Return what the columns are called, by our names; that of the labels as a manifest has it."""
    names = _names(columns)
    there = {*rows[0][1]} if rows else set()
    if "label" in columns or LABEL in there:
        return names
    numbers = [name for name in there if str(name).startswith(quantities.COLUMN)]
    own = [LABELS] if LABELS in there else numbers
    return names | ({LABEL: own[0]} if len(own) == 1 else {})


def _cells(
    file: Path,
    rows: Sequence[tuple[int, Mapping[str, Any]]],
    names: Mapping[str, str],
    columns: Mapping[str, str],
    *,
    several: bool,
) -> Rows:
    """Yield the table's rows with our names for the columns.

    `several`: whether columns of 0 and 1 may stand for the labels, which are then a list.
    """
    labels = indicators.columns(rows, names) if several else []
    for line, row in rows:
        own = {ours: headers.column(theirs, row) for ours, theirs in names.items()}
        headers.check(file, {"path": own["path"]} if labels else own, columns, row)
        cells = {ours: row.get(theirs) for ours, theirs in own.items()}
        yield line, cells | ({"label": indicators.present(row, labels)} if labels else {})
