"""Images in folders: ``DIR/<class>/…`` or ``DIR/train|val|test/<class>/…``. Opens no image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tl_cli.data.decode import SUFFIXES
from tl_cli.data.manifest import BadFile, Manifest, Options, Record
from tl_cli.errors import TLError
from tl_cli.humanize import count, naming

SPLIT_FOLDERS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
LITTER = ("thumbs.db", "desktop.ini", "__macosx")  # as good as hidden

Identity = tuple[int, int]  # device and inode: the same for all links to one folder


@dataclass
class _Found:
    """What the walk has come across so far."""

    records: list[Record] = field(default_factory=list)
    bad: list[BadFile] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # endings of files that are no images
    notes: list[str] = field(default_factory=list)


def listed(source: str, options: Options) -> Manifest:
    """List the image files of a folder, unopened. Raises TLError for a layout not ours."""
    root = Path(source).expanduser().absolute()
    found = _Found()
    folders = _subfolders(root)
    splits = [f for f in folders if f.name.lower() in SPLIT_FOLDERS]
    if _is_split(folders, splits):
        for folder in splits:
            _classes(folder, SPLIT_FOLDERS[folder.name.lower()], found)
        beside = [repr(f.name) for f in folders if f not in splits]
        if beside:
            found.notes.append(f"left out, beside the splits: {naming(beside)}")
    else:
        _classes(root, "", found)
    if not found.records and not found.bad:
        raise _none(root, found)
    return Manifest(source, (), tuple(found.records), tuple(found.bad), _notes(found))


def _is_split(folders: list[Path], splits: list[Path]) -> bool:
    """Tell splits from classes that happen to be called ``train`` or ``test``."""
    if not splits:
        return False
    flat = [f.name for f in splits if _images_in(f) and not _subfolders(f)]
    if flat and len(splits) == len(folders):
        raise TLError(
            f"{naming(repr(name) for name in flat)} in '{splits[0].parent}' holds images directly,"
            " not one folder a class",
            f"put them into folders named for what they show: {flat[0]}/cat/…, {flat[0]}/dog/…",
        )
    alone = len(splits) == len(folders) or any(f.name.lower() == "train" for f in splits)
    return alone and all(_subfolders(f) for f in splits)


def _classes(folder: Path, split: str, found: _Found) -> None:
    """Add the images of every class folder below `folder`."""
    above = frozenset(_identity(f) for f in (folder, *folder.parents))
    for path in _subfolders(folder):
        before = len(found.records) + len(found.bad)
        for file, reason in walk(str(path), set(above), found.others):
            if reason:
                found.bad.append(BadFile(file, path.name, reason))
            else:
                found.records.append(Record(file, path.name, split))
        if len(found.records) + len(found.bad) == before:
            where = f" in {split}" if split else ""
            found.notes.append(f"class {path.name!r} has no images{where}: left out")
    loose = _images_in(folder)
    if loose and found.records:
        found.notes.append(
            f"{count(loose, 'image')} directly in '{folder}', in no class folder: left out"
        )


def walk(folder: str, seen: set[Identity], others: Counter[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, "") for what may be an image and (path, reason) for what cannot be used.

    Links are followed; a folder in `seen` is not entered again, so that loops end.
    """
    seen.add(_identity(Path(folder)))
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield folder, f"is a folder that cannot be opened ({(error.strerror or '').lower()})"
        return
    for entry in entries:
        if _is_hidden(entry.name):
            continue
        if _is(entry, "dir"):
            if _identity(Path(entry.path)) not in seen:
                yield from walk(entry.path, seen, others)
        elif Path(entry.name).suffix.lower() not in SUFFIXES:
            others[Path(entry.name).suffix.lower() or "no ending"] += 1
        else:
            yield entry.path, _why_not(entry)


def _why_not(entry: os.DirEntry[str]) -> str:
    if _is(entry, "file"):
        return ""
    return "is a broken link" if entry.is_symlink() else "is not a regular file"


def _is(entry: os.DirEntry[str], kind: str) -> bool:
    try:
        return entry.is_dir() if kind == "dir" else entry.is_file()
    except OSError:  # a link to itself
        return False


def _identity(folder: Path) -> Identity:
    try:
        found = folder.stat()
    except OSError:
        return (-1, -1)
    return (found.st_dev, found.st_ino)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _subfolders(folder: Path) -> list[Path]:
    return [Path(e.path) for e in _entries(folder) if _is(e, "dir")]


def _images_in(folder: Path) -> int:
    return sum(Path(e.name).suffix.lower() in SUFFIXES and _is(e, "file") for e in _entries(folder))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError as error:
        raise TLError(
            f"the folder '{folder}' cannot be opened (permission denied)",
            f"chmod -R u+rX '{folder}', or run as the user who owns it",
        ) from error
    return [e for e in entries if not _is_hidden(e.name)]


def _notes(found: _Found) -> tuple[str, ...]:
    if not found.others:
        return tuple(found.notes)
    kinds = naming(f"{ending} ({n:,})" for ending, n in found.others.most_common())
    return (*found.notes, f"files that are no images by their name, left out: {kinds}")


def _none(root: Path, found: _Found) -> TLError:
    entries = _entries(root)
    if not entries:
        return TLError(f"the folder '{root}' is empty", "expected: DIR/<class>/<images>")
    loose = _images_in(root)
    if loose:
        return TLError(
            f"'{root}' holds {count(loose, 'image')} directly, but no class folders",
            "put them into folders named for what they show: DIR/cat/…, DIR/dog/…",
        )
    kinds = naming(f"{ending} ({n:,})" for ending, n in found.others.most_common())
    beside = f"; found instead: {kinds}" if kinds else ""
    return TLError(
        f"no images in '{root}'{beside}",
        "expected: DIR/<class>/<images>, with endings such as .jpg .png .webp .tif",
    )
