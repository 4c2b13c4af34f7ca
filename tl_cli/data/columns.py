"""One column of what is known of the images: of the manifest, or of the table they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType

from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.sources import headers, located, rows, table
from tl_cli.errors import unknown

LEFT_OUT = ("path", "digest", "phash", "near")  # another value for each image


def column(
    manifest: Manifest,
    name: str,
    source: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return the value in a column for the path of each image that has one.

    `source`: the table that the images were listed in, whose own columns count, too; `columns`:
    what it calls ours. Raises TLError where there is no such column.
    """
    own = [f.name for f in fields(Record) if f.name not in LEFT_OUT]
    if name in own:
        return {r.path: str(getattr(r, name)) for r in manifest.records}
    there, values = _of_table(source, name, columns)
    if name not in there:
        raise unknown("column", name, dict.fromkeys([*own, *there]))
    return values


def _of_table(
    source: str | None, name: str, columns: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Return a table's columns, and the cells of one by path; nothing where it is no table."""
    file = Path(source or "").expanduser().absolute()
    if not source or not file.is_file() or file.suffix.lower() not in rows.READERS:
        return [], {}
    there: dict[str, None] = {}
    cells: list[tuple[str, str]] = []
    for _, row in table.read(file, columns.values()):
        there |= dict.fromkeys(row)
        path = row.get(headers.column(columns.get("path", "path"), row))
        cells.append((str(path or ""), "" if row.get(name) is None else str(row[name])))
    places = located.below(file, [path for path, _ in cells])
    values = {places.get(p) or located.meant(p, file.parent): value for p, value in cells}
    return [key for key in there if key not in LEFT_OUT], values
