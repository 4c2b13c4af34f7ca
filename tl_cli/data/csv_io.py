"""What is kept of a manifest: manifest.csv, bad_files.csv. Opens no image."""

from __future__ import annotations

import os
from dataclasses import astuple
from itertools import chain
from operator import attrgetter
from pathlib import Path

from tl_cli import csv_cells
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, Manifest, Record, names_in
from tl_cli.data.sources.rows import delimited
from tl_cli.errors import TLError

COLUMNS = (
    "path", "label", "split", "group", "digest", "width", "height", "mode", "orientation", "phash",
    "near",
)  # fmt: skip

LABELS = {CLASSIFICATION: "label", MULTILABEL: "labels"}  # the column's name tells the task
FORMS = {tuple(name if c == "label" else c for c in COLUMNS): task for task, name in LABELS.items()}


def write_csv(manifest: Manifest, path: Path) -> None:
    """Write manifest.csv: one row a record, columns as in FORMS. Atomic."""
    rows = map(attrgetter(*COLUMNS), manifest.records)
    [columns] = (columns for columns, task in FORMS.items() if task == manifest.task)
    write_beside(path, csv_cells.table(columns, rows))


def read_csv(path: Path) -> Manifest:
    """Read what `write_csv` wrote, nothing looked at again. Raises TLError for another table."""
    records, task = [], CLASSIFICATION
    for line, row in delimited(Path(path)):
        if tuple(row) not in FORMS:
            raise TLError(f"'{path}' is not a manifest.csv", f"its columns must be {COLUMNS}")
        task = FORMS[tuple(row)]
        row = dict(zip(COLUMNS, row.values(), strict=True))
        try:
            numbers = {name: int(row[name]) for name in ("width", "height", "orientation")}
        except ValueError as error:
            raise TLError(f"'{path}', line {line}: {error}", "restore the file") from error
        records.append(Record(**{**row, **numbers}))
    if not records:
        raise TLError(f"'{path}' lists no images", "restore the file")
    classes = sorted({*chain(*(names_in(r.label, task) for r in records))})
    return Manifest(str(path), tuple(classes), tuple(records), task=task)


def bad_csv_text(manifest: Manifest) -> str:
    """Return bad_files.csv: path, label and reason of each file that was skipped."""
    return csv_cells.table(("path", "label", "reason"), (astuple(bad) for bad in manifest.bad))


def write_beside(path: Path, text: str) -> None:
    """Write a text file so that it is either the old one or the whole new one. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
