"""Which kind of data a source names, and the table of kinds. Opens no image."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tl_cli.data.manifest import Manifest, Options
from tl_cli.data.sources import (
    cloud,
    entries,
    folder,
    parquet_images,
    rows,
    samples,
    shard_files,
    table,
    tar_shards,
    tfds,
    tfrecords,
)
from tl_cli.errors import TLError, did_you_mean, unknown

# Each lists (source, options) as a Manifest whose records have not been looked at yet.
SOURCES: dict[str, Callable[[str, Options], Manifest]] = {
    "folder": folder.listed,
    "table": table.listed,
    "tar": tar_shards.listed,
    "parquet": parquet_images.listed,
    "tfrecord": tfrecords.listed,
    "tfds": tfds.listed,
    "sample": samples.listed,
    "cloud": lambda source, options: cloud.listed(source, options, listed),
}
SCHEMES = ("tfds", "sample")
PACKED = ("tar", "parquet", "tfrecord")  # rows of SOURCES


# What their names end with, and whether a first one is what it seems.
SHARDS: dict[str, tuple[Sequence[str], Callable[[Path], bool]]] = {
    "tar": ([tar_shards.SUFFIX], lambda _: True),
    "parquet": ([parquet_images.SUFFIX], parquet_images.holds_images),
    "tfrecord": (tfrecords.PATTERNS, tfrecords.is_one),
}


def listed(source: str, options: Options) -> Manifest:
    """List what a source holds, unopened. Raises TLError where there is no such source."""
    return SOURCES[kind(source)](source, options)


def shards_in(path: Path) -> Manifest | None:
    """Return what lies in a file or folder of shards, unopened; None where it is no such."""
    try:
        found = kind(str(path)) if path.is_dir() or path.is_file() else ""
    except (TLError, OSError, ValueError):
        return None
    return SOURCES[found](str(path), Options()) if found in PACKED else None


def kind(source: str) -> str:
    """Return the row of SOURCES that a source belongs to. Raises TLError if none."""
    if not source.strip():
        raise TLError("no data were given", "give a folder: DIR/<class>/<images>")
    if cloud.is_address(source):
        return "cloud"
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            return _of_folder(path)
        if path.is_file():
            return _of_file(path)
    except OSError as error:
        raise TLError(f"cannot open '{source}': {error.strerror}", "give a folder") from error
    except ValueError as error:  # a zero byte in the name
        raise TLError(f"cannot open {source!r}: {error}", "give a folder") from error
    scheme = re.match(r"([A-Za-z][\w+.-]+):", source)
    if scheme and scheme[1].lower() in SCHEMES:
        return scheme[1].lower()
    if scheme and "/" not in scheme[1]:
        raise unknown("source", scheme[1] + ":", [f"{name}:" for name in SCHEMES])
    raise _missing(source, path)


def _of_folder(path: Path) -> str:
    """Return what a folder holds: shards, where no folder in it has images beside them."""
    for name, (endings, holds_images) in SHARDS.items():
        first = next(shard_files.below(path, *endings), None)
        if first and holds_images(first):
            return "folder" if any(map(entries.holds_images, entries.subfolders(path))) else name
    return "folder"


def _of_file(path: Path) -> str:
    if path.suffix.lower() == tar_shards.SUFFIX:
        return "tar"
    if path.suffix.lower() in tar_shards.PRESSED:
        raise TLError(
            f"'{path}' is compressed, so no image in it can be read by itself",
            "unpack it: into a folder, or to a .tar file",
        )
    if path.suffix.lower() == parquet_images.SUFFIX and parquet_images.holds_images(path):
        return "parquet"
    if path.suffix.lower() not in rows.READERS and tfrecords.is_one(path):
        return "tfrecord"
    if path.suffix.lower() in rows.READERS:
        return "table"
    raise TLError(
        f"'{path}' is a file that lists no images: its ending is '{path.suffix}'",
        "give a folder, a .tar or TFRecord file, or a table that ends with "
        f"{', '.join(rows.READERS)}",
    )


def _missing(source: str, path: Path) -> TLError:
    thing = "file" if path.suffix.lower() in rows.READERS else "folder"
    above = path.absolute().parent
    if not above.is_dir():
        there = next(p for p in above.parents if p.is_dir())
        return TLError(f"no {thing} '{source}'", f"'{there}' is there, '{above}' is not")
    try:
        beside = [p.name for p in above.iterdir() if not p.name.startswith(".")]
    except OSError:
        beside = []
    near = did_you_mean(path.name, beside) or f"look at what is in '{above}'"
    return TLError(f"no {thing} '{source}'", near)
