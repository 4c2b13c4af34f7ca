"""Images inside a larger file: where one lies, as a path that needs no index, and its bytes.

    tar:/data/train-0001.tar@1536+20480/cat/7.jpg     20,480 bytes from byte 1,536 on
    tfrecord:/data/train.tfrecord@97+20480/41         the same, in record 41
    parquet:/data/train-0001.parquet@image/41         row 41 of the column `image`

What is remembered, compared or said of an image goes by such a path as by any other; the state of
an image is that of the file that it lies in. Nothing is unpacked. Knows nothing of labels.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

from tl_cli.data.faults import Fault

TAR, TFRECORD, PARQUET = "tar:", "tfrecord:", "parquet:"
SCHEMES = (TAR, TFRECORD, PARQUET)
# the last such mark counts, and no name behind one holds another: `named` sees to it
_TAR = re.compile(r"(?:tar|tfrecord):(.+)@(\d{1,18})\+(\d{1,12})/[^@]*", re.DOTALL)
_PARQUET = re.compile(r"parquet:(.+)@([^@/]+)/(\d{1,12})(?:/[^@]*)?", re.DOTALL)
MOST_BYTES = 2_000_000_000  # of one image
HELD = 4  # groups of rows that are held: images come in their order, by several threads


class _Place(NamedTuple):
    """Where an image lies: `first` and `size` are bytes of a tar, or a row and 0."""

    file: str
    column: str
    first: int
    size: int
    kind: str = "Parquet"


def in_tar(file: Path, offset: int, size: int, name: str) -> str:
    """Return the path of a member of a tar file."""
    return f"{TAR}{file}@{offset}+{size}/{named(name)}"


def in_tfrecord(file: Path, offset: int, size: int, name: str) -> str:
    """Return the path of an image in a TFRecord file."""
    return f"{TFRECORD}{file}@{offset}+{size}/{named(name)}"


def in_parquet(file: Path, column: str, row: int, name: str = "") -> str:
    """Return the path of the image in a row of a Parquet file."""
    return f"{PARQUET}{file}@{column}/{row}" + (f"/{named(name)}" if name else "")


def named(name: str) -> str:
    """Return a name as it may stand at the end of a path: it is read by people alone."""
    return name.replace("@", "_").strip("/")


def is_packed(path: str) -> bool:
    """Tell whether a path names an image inside a larger file."""
    return path.startswith(SCHEMES)


def file_of(path: str) -> str:
    """Return the file that an image lies in; of any other path, itself."""
    return _place(path).file if is_packed(path) else path


def read(path: str) -> bytes:
    """Return an image's bytes. Raises Fault or OSError where they are not there."""
    place = _place(path)
    return _of_parquet(place) if place.column else _of_bytes(place)


def _place(path: str) -> _Place:
    if found := _TAR.fullmatch(path):
        kind = "tar" if path.startswith(TAR) else "TFRecord"
        return _Place(found[1], "", int(found[2]), int(found[3]), kind)
    if found := _PARQUET.fullmatch(path):
        return _Place(found[1], found[2], int(found[3]), 0)
    raise Fault("names no place in a tar, TFRecord or Parquet file")


def _of_bytes(place: _Place) -> bytes:
    if place.size > MOST_BYTES:
        raise Fault("is too large")
    descriptor = os.open(place.file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        left = os.fstat(descriptor).st_size - place.first
        if left < place.size:
            raise Fault(f"is cut short, with the {place.kind} file that it lies in")
        os.lseek(descriptor, place.first, os.SEEK_SET)
        parts, lacking = [], place.size
        while lacking and (part := os.read(descriptor, lacking)):
            parts.append(part)
            lacking -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


_held: OrderedDict[tuple[Any, ...], Any] = OrderedDict()  # columns of row groups, latest last
_files: OrderedDict[tuple[Any, ...], tuple[Any, list[int]]] = OrderedDict()  # and their ends
_lock = threading.Lock()


def _of_parquet(place: _Place) -> bytes:
    """Return the bytes in a row; the group of rows that it is in is read once for all of them."""
    import bisect

    state = os.stat(place.file)  # noqa: PTH116  # once an image
    name = (place.file, state.st_mtime_ns, state.st_size)
    with _lock:
        file, ends = _opened(name)
        group = bisect.bisect_right(ends, place.first)
        if group == len(ends):
            raise Fault("is not there: the Parquet file has fewer rows")
        column = _column(name, file, group, place.column)
    first = ends[group - 1] if group else 0
    value = column[place.first - first].as_py()
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise Fault("has no bytes in its row")
    return data


def _opened(name: tuple[Any, ...]) -> tuple[Any, list[int]]:
    from itertools import accumulate

    from pyarrow import ArrowException, parquet

    if name not in _files:
        try:
            file = parquet.ParquetFile(name[0])
        except ArrowException as error:
            raise Fault("lies in a damaged Parquet file") from error
        groups = range(file.num_row_groups)
        sizes = (file.metadata.row_group(i).num_rows for i in groups)
        _files[name] = file, list(accumulate(sizes))
        while len(_files) > HELD:
            _files.popitem(last=False)[1][0].close()
    _files.move_to_end(name)
    return _files[name]


def _column(name: tuple[Any, ...], file: Any, group: int, column: str) -> Any:
    from pyarrow import ArrowException

    key = (*name, group, column)
    if key not in _held:
        try:
            _held[key] = file.read_row_group(group, columns=[column]).column(0)
        except (ArrowException, OSError, IndexError) as error:
            raise Fault("lies in a damaged Parquet file") from error
        while len(_held) > HELD:
            _held.popitem(last=False)
    _held.move_to_end(key)
    return _held[key]
