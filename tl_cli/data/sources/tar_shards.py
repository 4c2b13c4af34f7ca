"""Tar files of images, as WebDataset keeps them: members of one name, before its first dot, belong
together, an image and its label (.cls, or a .json); else the folder inside the tar is the class.

Only the headers of the members and the labels are read. Nothing is unpacked.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tl_cli.data import packed
from tl_cli.data.decode import SUFFIXES
from tl_cli.data.manifest import BadFile, Manifest, Options, Record
from tl_cli.data.sources import shard_files
from tl_cli.errors import TLError

SUFFIX = ".tar"
PRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
LABEL = "cls"
JSON = "json"
KEYS = ("label", "cls", "class", "class_name", "label_name")  # of a .json, the first that is there
MOST_LABEL = 1_000_000  # bytes of a label member that are read


def listed(source: str, options: Options) -> Manifest:
    """List the images in tar files: one file, or all of a folder. Raises TLError."""
    records: list[Record] = []
    bad: list[BadFile] = []
    files = shard_files.files_of(source, SUFFIX)
    splits = shard_files.splits_of(files)
    for file in files:
        try:
            records += _members(file, splits[file], bad)
        except (tarfile.TarError, OSError, EOFError) as error:
            bad.append(BadFile(str(file), "", f"is not a whole tar file ({error})"))
    if not records:
        why = f": {bad[0].path} {bad[0].reason}" if bad else ""
        raise TLError(
            f"'{source}' holds no images with labels{why}",
            "a label is a member NAME.cls beside NAME.jpg, a key `label` in NAME.json, or a folder",
        )
    return Manifest(source, (), tuple(records), tuple(bad))


def _members(file: Path, split: str, bad: list[BadFile]) -> Iterator[Record]:
    """Yield the images of a tar; members of one name stand together, as WebDataset has it."""
    with tarfile.open(file, "r:") as tar:
        name, label = "", ""
        images: list[tarfile.TarInfo] = []
        for member in tar:
            if not member.isreg():
                continue
            key, _, kind = _parted(member.name)
            if key != name:
                yield from _labelled(file, name, images, label, split, bad)
                name, images, label = key, [], ""
            if f".{kind.rpartition('.')[2]}" in SUFFIXES:
                images.append(member)
            elif kind in (LABEL, JSON) and member.size <= MOST_LABEL:
                opened = tar.extractfile(member)
                label = _label(kind, opened.read() if opened else b"") or label
            tar.members = []  # type: ignore[attr-defined]  # or millions stay in memory
        yield from _labelled(file, name, images, label, split, bad)


def _parted(name: str) -> tuple[str, str, str]:
    """Return what members of one image have in common, and the ending: `a/7.seg.png`."""
    folder, base = posixpath.split(name)
    key, dot, kind = base.partition(".")
    return posixpath.join(folder, key), dot, kind.lower()


def _labelled(
    file: Path,
    name: str,
    images: Sequence[tarfile.TarInfo],
    label: str,
    split: str,
    bad: list[BadFile],
) -> Iterator[Record]:
    """Yield the image of one name with its label; one without is told."""
    label = label or posixpath.basename(posixpath.dirname(name))
    for member in images[:1]:
        path = packed.in_tar(file, member.offset_data, member.size, member.name)
        if label:
            yield Record(path, label, split)
        else:
            bad.append(BadFile(path, "", "has no label"))


def _label(kind: str, data: bytes) -> str:
    text = data.decode("utf-8", "replace").strip()
    if kind == LABEL:
        return text
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    values = [said[key] for key in KEYS if key in said] if isinstance(said, dict) else []
    return next((str(v).strip() for v in values if isinstance(v, str | int)), "")
