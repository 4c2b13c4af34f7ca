"""TFRecord files of images, as TensorFlow keeps them: records of tf.train.Example, one an image.

A record is its length in 8 bytes, a checksum of that, the message and a checksum of it
(tensorflow.org/tutorials/load_data/tfrecord). Of the message, a protocol buffer of three kinds of
lists, a few fields are looked at; TensorFlow is not needed for it. The checksums are not: the bytes
of an image are hashed anyway, and a length that leads nowhere is seen. Nothing is unpacked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tl_cli.data import packed
from tl_cli.data.manifest import BadFile, Manifest, Options, Record
from tl_cli.data.sources import shard_files
from tl_cli.errors import TLError, did_you_mean

PATTERNS = (".tfrec*", "-[0-9]*-of-[0-9]*[0-9]")  # x.tfrecord, x.tfrecord-00000-of-00003, the last
IMAGES = ("image/encoded", "image", "image_raw", "jpg", "png")
LABELS = ("image/class/text", "image/class/label", "label", "class", "cls")
HEAD, FOOT = struct.Struct("<QI"), 4
COMPRESSED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x9c", b"\x78\xda")  # gzip, zlib
MOST = 1_000_000_000  # bytes of a record
MOST_KEYS = 12  # that are named where none will do

Feature = tuple[int, int] | int  # where the first bytes are in the message; or the first number


def is_one(file: Path) -> bool:
    """Tell whether a file is called a TFRecord, or begins as one of examples does."""
    if ".tfrec" in file.name:
        return True
    try:
        with file.open("rb") as opened:
            message = next(_records(opened, file.stat().st_size), None)
        return bool(message and _features(message[1]))
    except (OSError, ValueError):
        return False


def listed(source: str, options: Options) -> Manifest:
    """List the images in TFRecord files: one file, or all of a folder. Raises TLError."""
    files = shard_files.files_of(source, *PATTERNS)
    splits = shard_files.splits_of(files)
    records: list[Record] = []
    bad: list[BadFile] = []
    for file in files:
        try:
            records += _images(file, splits[file], options.columns, bad)
        except (ValueError, OSError) as error:
            bad.append(BadFile(str(file), "", f"is not a whole TFRecord file ({error})"))
    if not records:
        why = f": {bad[0].path} {bad[0].reason}" if bad else ""
        raise TLError(
            f"'{source}' holds no images with labels{why}",
            f"an example has the bytes of an image as {IMAGES[0]} and its class as {LABELS[0]} or "
            f"{LABELS[1]}; others are named by --columns path=KEY,label=KEY",
        )
    return Manifest(source, (), tuple(records), tuple(bad))


def _images(
    file: Path, split: str, columns: Mapping[str, str], bad: list[BadFile]
) -> Iterator[Record]:
    with file.open("rb") as opened:
        for number, (offset, message) in enumerate(_records(opened, file.stat().st_size)):
            features = _features(message)
            image, label = _chosen(file, features, columns)
            where = features.get(image)
            if not isinstance(where, tuple):
                bad.append(BadFile(f"{file}@{number}", "", "has no image"))
                continue
            start, end = where
            path = packed.in_tfrecord(file, offset + start, end - start, str(number))
            said = _text(message, features.get(label))
            if said:
                yield Record(path, said, split)
            else:
                bad.append(BadFile(path, "", "has no label"))


def _records(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield where each message begins, and the message. Raises ValueError where it is cut short."""
    while head := file.read(HEAD.size):
        if head[:2] in COMPRESSED:
            raise ValueError("it is compressed, so no image in it can be read by itself: unpack it")
        at = file.tell()
        length = HEAD.unpack(head)[0] if len(head) == HEAD.size else MOST
        if length > MOST or at + length + FOOT > size:
            raise ValueError(f"the record at byte {at - len(head):,} is cut short or none")
        yield at, file.read(length)
        file.seek(FOOT, 1)


def _chosen(
    file: Path, features: Mapping[str, Feature], columns: Mapping[str, str]
) -> tuple[str, str]:
    """Return the keys of image and label: as given, or the first usual ones that are there."""
    keys, there = [], sorted(features)
    for what, ours, usual in (("image", "path", IMAGES), ("label", "label", LABELS)):
        given = columns.get(ours, "")
        key = given or next((key for key in usual if key in features), "")
        if not key or (given and given not in features):
            near = did_you_mean(given, features) if given else ""
            raise TLError(
                f"'{file.name}' has no {what}"
                + (f" '{given}'" if given else "")
                + " in an example",
                near or f"name it: --columns {ours}=KEY; it has {', '.join(there[:MOST_KEYS])}",
            )
        keys.append(key)
    return keys[0], keys[1]


def _text(message: bytes, feature: Feature | None) -> str:
    if isinstance(feature, tuple):
        return message[slice(*feature)].decode("utf-8", "replace").strip()
    return "" if feature is None else str(feature)


# == of protocol buffers, what an Example needs ====================================================


def _features(message: bytes) -> dict[str, Feature]:
    """Return the first value of each feature that has bytes or whole numbers. Raises ValueError.

    Example: 1 Features; Features: 1 an entry each, of 1 name and 2 Feature; Feature: 1 bytes, 2
    floats, 3 whole numbers, each a list whose values are its field 1.
    """
    found: dict[str, Feature] = {}
    for features in _parts(message, 0, len(message), 1):
        for entry in _parts(message, *features, 1):
            named = next(_parts(message, *entry, 1), None)
            for feature in _parts(message, *entry, 2):
                value = _first(message, feature)
                if named and value is not None:
                    found[message[slice(*named)].decode("utf-8", "replace")] = value
    return found


def _first(message: bytes, feature: tuple[int, int]) -> Feature | None:
    for several in _parts(message, *feature, 1):
        return next(_parts(message, *several, 1), None)
    for several in _parts(message, *feature, 3):
        for number, kind, value in _fields(message, *several):
            if number == 1 and kind == 0:
                return _signed(value)
            if number == 1 and kind == 2 and value[0] < value[1]:  # packed
                return _signed(_varint(message, *value)[0])
    return None


def _parts(message: bytes, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Yield where the fields of this number are that have a length."""
    for number, kind, value in _fields(message, start, end):
        if number == wanted and kind == 2:
            yield value


def _fields(message: bytes, start: int, end: int) -> Iterator[tuple[int, int, Any]]:
    """Yield the number, the kind and the value of each field; its bounds where it has a length."""
    at = start
    while at < end:
        tag, at = _varint(message, at, end)
        number, kind = tag >> 3, tag & 7
        value: Any = None
        if kind == 0:
            value, at = _varint(message, at, end)
        elif kind == 2:
            length, at = _varint(message, at, end)
            value, at = (at, at + length), at + length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("a record of it is no tf.train.Example")
        if at > end:
            raise ValueError("a record of it is no tf.train.Example")
        yield number, kind, value


def _varint(message: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where the next field begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a record of it is no tf.train.Example")


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value
