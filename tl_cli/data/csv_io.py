"""What is kept of a manifest: manifest.csv, bad_files.csv. Opens no image."""

from __future__ import annotations

import os
from dataclasses import astuple
from pathlib import Path

from tl_cli import csv_cells
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.sources.rows import delimited
from tl_cli.errors import TLError

COLUMNS = (
    "path", "label", "split", "group", "digest", "width", "height", "mode", "orientation", "phash",
    "near",
)  # fmt: skip


def write_csv(manifest: Manifest, path: Path) -> None:
    """Write manifest.csv: one row a record, columns as in COLUMNS. Atomic."""
    rows = (astuple(record) for record in manifest.records)
    write_beside(path, csv_cells.table(COLUMNS, rows))


def read_csv(path: Path) -> Manifest:
    """Read what `write_csv` wrote, nothing looked at again. Raises TLError for another table."""
    records = []
    for line, row in delimited(Path(path)):
        if tuple(row) != COLUMNS:
            raise TLError(f"'{path}' is not a manifest.csv", f"its columns must be {COLUMNS}")
        try:
            numbers = {name: int(row[name]) for name in ("width", "height", "orientation")}
        except ValueError as error:
            raise TLError(f"'{path}', line {line}: {error}", "restore the file") from error
        records.append(Record(**{**row, **numbers}))
    if not records:
        raise TLError(f"'{path}' lists no images", "restore the file")
    return Manifest(str(path), tuple(sorted({r.label for r in records})), tuple(records))


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
