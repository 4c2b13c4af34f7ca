"""Parquet files that hold the images themselves, as Hugging Face keeps data sets.

A column of bytes, or of {bytes, path}; a column of labels, whose names are in the schema's notes.
Of the images nothing is read here. Nothing is unpacked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_cli.data import packed
from tl_cli.data.manifest import BadFile, Manifest, Options, Record
from tl_cli.data.sources import shard_files
from tl_cli.errors import TLError, did_you_mean

SUFFIX = ".parquet"
LABELS = ("label", "labels", "class", "target", "fine_label", "category")
NOTES = b"huggingface"


def holds_images(file: Path) -> bool:
    """Tell whether a Parquet file has a column of images; a table of paths has none."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:  # it is told when it is read
        return False
    try:
        return bool(_image_columns(parquet.read_schema(file)))
    except (ArrowException, OSError, ValueError):
        return False


def listed(source: str, options: Options) -> Manifest:
    """List the rows of Parquet files, of one or of all in a folder. Raises TLError."""
    files = shard_files.files_of(source, SUFFIX)
    splits = shard_files.splits_of(files)
    records: list[Record] = []
    bad: list[BadFile] = []
    for file in files:
        records += _rows(file, splits[file], options.columns, bad)
    if not records:
        raise TLError(f"'{source}' holds no labelled images", "its rows have no label")
    return Manifest(source, (), tuple(records), tuple(bad))


def _rows(
    file: Path, split: str, columns: Mapping[str, str], bad: list[BadFile]
) -> Iterator[Record]:
    from pyarrow import ArrowException, parquet

    try:
        opened = parquet.ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise TLError(f"'{file}' is not a Parquet file: {error}", "check the file") from error
    with opened:
        schema = opened.schema_arrow
        image, label = _chosen(file, schema, columns)
        names = _class_names(schema, label)
        row = 0
        for batch in opened.iter_batches(65_536, columns=[label]):
            for value in batch.column(0).to_pylist():
                path = packed.in_parquet(file, image, row)
                said = _label(value, names)
                if said:
                    yield Record(path, said, split)
                else:
                    bad.append(BadFile(path, "", "has no label"))
                row += 1


def _chosen(file: Path, schema: Any, columns: Mapping[str, str]) -> tuple[str, str]:
    """Return the columns of image and label: as given, or the ones that can be meant."""
    images = _image_columns(schema)
    image = columns.get("path") or (images[0] if images else "")
    marked = [name for name, told in _features(schema).items() if _is_class_label(told)]
    found = [name for name in (*marked, *LABELS) if name in schema.names]
    label = columns.get("label") or (found[0] if found else "")
    for what, name in (("image", image), ("label", label)):
        if name not in schema.names or (what == "image" and name not in images):
            near = did_you_mean(name, schema.names) if name else ""
            raise TLError(
                f"'{file.name}' has no column of {what}s" + (f" '{name}'" if name else ""),
                near
                or f"name it: --columns {'path' if what == 'image' else what}=NAME; it has "
                f"{', '.join(schema.names)}",
            )
    return image, label


def _image_columns(schema: Any) -> list[str]:
    """Return the columns of bytes, or of {bytes, ...}, whose names hold no mark of a path."""
    from pyarrow import types

    def is_bytes(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    return [
        field.name
        for field in schema
        if not {"@", "/"} & set(field.name)
        and (
            is_bytes(field.type)
            or (
                types.is_struct(field.type)
                and any(part.name == "bytes" and is_bytes(part.type) for part in field.type)
            )
        )
    ]


def _features(schema: Any) -> Mapping[str, Any]:
    """Return what Hugging Face notes of each column; nothing where it notes nothing."""
    try:
        found = json.loads((schema.metadata or {})[NOTES])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_class_label(told: Any) -> bool:
    return isinstance(told, dict) and told.get("_type") == "ClassLabel"


def _class_names(schema: Any, label: str) -> Sequence[str]:
    told = _features(schema).get(label)
    names = told.get("names") if isinstance(told, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else ()


def _label(value: Any, names: Sequence[str]) -> str:
    """Return a label as text; "" for none, which -1 stands for too where classes have names."""
    if value is None:
        return ""
    if names and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else ""
    return str(value).strip() if isinstance(value, str | int) else ""
