"""Where the labels of images may be that lie in no class folders: in a table, in boxes.

Looks at names and at the first line of tables. Opens no image.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path

from tl_cli.data.sources import headers, rows
from tl_cli.data.sources.entries import files_in, subfolders
from tl_cli.errors import TLError

OF_DETECTION = {".txt": "boxes", ".xml": "boxes", ".json": "annotations"}
BOXES = ("labels", "annotations", "label", "annotation")
NOT_OF_LABELS = ("submission", "test")  # in the names of tables that are without labels
LEVELS = 2  # folders upward in which a table is looked for
LARGEST = 50_000_000  # bytes of a table that is looked into


def table_of(folder: Path) -> str:
    """Return the option that names a table with the labels of a folder's images, or ""."""
    for file in _tables(folder):
        try:
            _, row = next(iter(rows.READERS[file.suffix.lower()](file)), (0, {}))
        except TLError:
            continue
        columns = headers.naming_option([str(name) for name in row])
        if columns is not None:
            more = f" {columns}" if columns else ""
            return f"the labels may be in '{file.name}': --data {shlex.quote(str(file))}{more}"
    return ""


def other_labels(folder: Path) -> str:
    """Return a clause on folders beside the images that hold labels of another kind, or ""."""
    for path in itertools.chain(subfolders(folder), *map(subfolders, subfolders(folder))):
        if path.name.lower() not in BOXES:
            continue
        inside = (path, *subfolders(path))
        endings = {file.suffix.lower() for f in inside for file in files_in(f)}
        if endings & OF_DETECTION.keys():
            return f"; '{path.name}' holds boxes or outlines of objects, which are no classes"
    return ""


def _tables(folder: Path) -> Iterator[Path]:
    """Yield tables in the folder and above it, those of labels by their names first."""
    for place in (folder, *folder.parents)[:LEVELS]:
        files = [f for f in files_in(place) if f.suffix.lower() in rows.READERS]
        files = [f for f in files if f.stat().st_size <= LARGEST]
        files = [f for f in files if not any(word in f.stem.lower() for word in NOT_OF_LABELS)]
        yield from sorted(files, key=lambda f: not f.stem.lower().startswith(("train", "label")))
