"""One column of what is known of the images: of the manifest, or of the table they came from."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.sources import located, table
from tl_cli.errors import unknown

LEFT_OUT = ("path", "digest", "phash", "near")  # another value for each image


def column(manifest: Manifest, name: str, source: str | None = None) -> dict[str, str]:
    """Return the value in a column for the path of each image that has one.

    `source`: the table that the images were listed in, whose own columns count, too. Raises TLError
    where there is no such column.
    """
    own = [f.name for f in fields(Record) if f.name not in LEFT_OUT]
    if name in own:
        return {r.path: str(getattr(r, name)) for r in manifest.records}
    there, values = _of_table(source, name)
    if name not in there:
        raise unknown("column", name, dict.fromkeys([*own, *there]))
    return values


def _of_table(source: str | None, name: str) -> tuple[list[str], dict[str, str]]:
    """Return a table's columns, and the cells of one by path; nothing where it is no table."""
    file = Path(source or "").expanduser().absolute()
    if not source or not file.is_file() or file.suffix.lower() not in table.READERS:
        return [], {}
    there: dict[str, None] = {}
    values: dict[str, str] = {}
    for _, row in table.READERS[file.suffix.lower()](file):
        there |= dict.fromkeys(row)
        path = located.meant(str(row.get("path", "")), file.parent)
        values[path] = "" if row.get(name) is None else str(row[name])
    return [key for key in there if key not in LEFT_OUT], values
