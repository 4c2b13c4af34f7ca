"""What is kept of a manifest: manifest.csv, bad_files.csv. Opens no image."""

from __future__ import annotations

import os
from dataclasses import astuple
from itertools import chain
from operator import attrgetter
from pathlib import Path

from tl_cli import csv_cells
from tl_cli.data.manifest import (
    CLASSIFICATION,
    MULTILABEL,
    REGRESSION,
    Manifest,
    Record,
    names_in,
)
from tl_cli.data.quantities import COLUMN, name_of
from tl_cli.data.sources.rows import delimited
from tl_cli.errors import TLError

COLUMNS = (
    "path", "label", "split", "group", "digest", "width", "height", "mode", "orientation", "phash",
    "near",
)  # fmt: skip

LABELS = {CLASSIFICATION: "label", MULTILABEL: "labels"}  # the column's name tells the task


def write_csv(manifest: Manifest, path: Path) -> None:
    """Write manifest.csv: one row a record; the label's column is called as the task has it.

    A quantity's is `value:` and its name. Atomic.
    """
    rows = map(attrgetter(*COLUMNS), manifest.records)
    number = manifest.task == REGRESSION
    label = f"{COLUMN}{manifest.classes[0]}" if number else LABELS[manifest.task]
    columns = (label if name == "label" else name for name in COLUMNS)
    write_beside(path, csv_cells.table(tuple(columns), rows))


def _task_of(columns: tuple[str, ...]) -> str:
    """Return what the labels are by the columns of a table; "" where it is no manifest.csv."""
    label = columns[1] if len(columns) > 1 else ""
    if (columns[:1], columns[2:]) != (COLUMNS[:1], COLUMNS[2:]):
        return ""
    if label.startswith(COLUMN):
        return REGRESSION
    return next((task for task, name in LABELS.items() if name == label), "")


def read_csv(path: Path) -> Manifest:
    """Read what `write_csv` wrote, nothing looked at again. Raises TLError for another table."""
    records, task, quantity = [], CLASSIFICATION, ""
    for line, row in delimited(Path(path)):
        task = _task_of(tuple(row))
        if not task:
            raise TLError(f"'{path}' is not a manifest.csv", f"its columns must be {COLUMNS}")
        quantity = name_of(list(row)[1])
        row = dict(zip(COLUMNS, row.values(), strict=True))
        try:
            numbers = {name: int(row[name]) for name in ("width", "height", "orientation")}
            if task == REGRESSION:
                float(row["label"])
        except ValueError as error:
            raise TLError(f"'{path}', line {line}: {error}", "restore the file") from error
        records.append(Record(**{**row, **numbers}))
    if not records:
        raise TLError(f"'{path}' lists no images", "restore the file")
    names = chain(*(names_in(r.label, task) for r in records))
    classes = [quantity] if task == REGRESSION else sorted({*names})
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
