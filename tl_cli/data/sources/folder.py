"""Images in folders: ``DIR/<class>/…`` or ``DIR/train|val|test/<class>/…``. Opens no image."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tl_cli.data.decode import SUFFIXES
from tl_cli.data.manifest import BadFile, Manifest, Options, Record
from tl_cli.data.sources.split_names import SPLIT_FOLDERS as SPLIT_FOLDERS
from tl_cli.data.sources.split_names import is_filler, split_of
from tl_cli.errors import TLError
from tl_cli.humanize import count, naming
from tl_cli.store.marker import is_ours

FEW = 20  # folders: among so many it is looked which hold images at all
OURS = "folders of tl's"  # counted beside the endings
DEEPEST = 5  # folders in folders above the classes of a split
ALSO_CLASSES = ("valid", "dev", "eval")  # may be what images show, where they hold no folders
MASKS = re.compile(r"(?i).*(mask|annotation|segmentation|ground.?truth|labels?$).*|gt")
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
    given = Path(source).expanduser().absolute()
    found = _Found()
    _check_open(given)
    root = _class_level(given, options, found)
    folders = _data_folders(root, options, found)
    splits = {f: split_of(f.name) for f in folders if split_of(f.name)}
    for folder in splits:
        _check_open(folder)
    if _is_split(folders, list(splits)):
        _list_splits(folders, splits, found)
    else:
        aside = _beside_classes(folders, splits, found)
        _list_classes(root, [f for f in folders if f not in aside], "", found)
    if not found.records and not found.bad:
        raise _none(root, found)
    return Manifest(source, (), tuple(found.records), tuple(found.bad), _notes(found))


def _class_level(root: Path, options: Options, found: _Found) -> Path:
    """Go down while all images lie in one folder that only holds folders."""
    level = root
    while not _images_in(level):
        folders = [f for f in _subfolders(level) if not _is_left_out(f, options)]
        folders = [f for f in folders if _holds_images(f)] if len(folders) < FEW else folders
        if len(folders) != 1 or not _subfolders(folders[0]) or _images_in(folders[0]):
            break
        if _identity(folders[0]) in {_identity(f) for f in (level, *level.parents)}:
            break  # a link upwards
        if split_of(folders[0].name):
            break
        level = folders[0]
    if level != root:
        found.notes.append(f"the classes lie further down, in '{level}'")
    return level


def _data_folders(root: Path, options: Options, found: _Found) -> list[Path]:
    """Return the folders below `root` but for those that tl wrote, which are noted."""
    folders = _subfolders(root)
    above = {_identity(f) for f in (root, *root.parents)}
    folders = [f for f in folders if _identity(f) not in above]  # links upwards
    ours = [f for f in folders if _is_left_out(f, options)]
    found.others[OURS] += len(ours)
    return [f for f in folders if f not in ours]


def _is_left_out(folder: Path, options: Options) -> bool:
    """Whether tl wrote the folder, or all folders in it, or keeps its cache there."""
    if is_ours(folder) or (options.cache and folder == options.cache.expanduser().absolute()):
        return True
    if _images_in(folder):
        return False
    below = _subfolders(folder)
    return bool(below) and all(is_ours(f) for f in below)


def _holds_images(folder: Path) -> bool:
    return next(walk(str(folder), set(), Counter()), None) is not None


def _list_splits(folders: list[Path], splits: dict[Path, str], found: _Found) -> None:
    for folder, split in splits.items():
        inner = _within_split(folder)
        if _images_in(inner) and not _subfolders(inner):
            _note_unlabelled(folder, found)
            continue
        _note_name(folder, split, found)
        _list_classes(inner, _subfolders(inner), split, found)
    beside = [repr(f.name) for f in folders if f not in splits]
    if beside:
        found.notes.append(f"left out, beside the splits: {naming(beside)}")


def _within_split(folder: Path) -> Path:
    """Return the folder of the classes: ``seg_train/seg_train``, ``train/images``."""
    for _ in range(DEEPEST):
        below = _subfolders(folder)
        if len(below) != 1 or _images_in(folder):
            break
        if not (split_of(below[0].name) or is_filler(below[0].name)):
            break
        folder = below[0]
    return folder


def _note_name(folder: Path, split: str, found: _Found) -> None:
    if folder.name.lower() not in SPLIT_FOLDERS:
        found.notes.append(f"the folder {folder.name!r} is taken for the {split} split")


def _note_unlabelled(folder: Path, found: _Found) -> None:
    images = _images_in(_within_split(folder))
    found.notes.append(
        f"{folder.name!r} has no labels ({count(images, 'image')}, in no class folder): left out"
    )


def _beside_classes(folders: list[Path], splits: dict[Path, str], found: _Found) -> list[Path]:
    """List the test and validation folders that lie beside classes; return those that do."""
    classes = {f.name.lower() for f in folders if f not in splits}
    aside = []
    for folder, split in splits.items():
        inner = _within_split(folder)
        labels = {f.name.lower() for f in _subfolders(inner)}
        if split != "train" and labels & classes:
            found.notes.append(
                f"the folder {folder.name!r} beside the classes is the {split} split"
            )
            _list_classes(inner, _subfolders(inner), split, found)
        elif split != "train" and not labels and folder.name.lower() not in ALSO_CLASSES:
            _note_unlabelled(folder, found)
        else:
            continue
        aside.append(folder)
    return aside


def _is_split(folders: list[Path], splits: list[Path]) -> bool:
    """Tell splits from classes that happen to be called ``train`` or ``test``."""
    if not splits:
        return False
    flat = [f.name for f in splits if not _subfolders(_within_split(f)) and _images_in(f)]
    trains = [f for f in splits if split_of(f.name) == "train"]
    labelled = any(_subfolders(_within_split(f)) for f in trains)
    if flat and len(splits) == len(folders) and not labelled:
        raise TLError(
            f"{naming(repr(name) for name in flat)} in '{splits[0].parent}' holds images directly,"
            " not one folder a class",
            f"put them into folders named for what they show: {flat[0]}/cat/…, {flat[0]}/dog/…",
        )
    return labelled or (len(splits) == len(folders) and all(_subfolders(f) for f in splits))


def _check_level(classes: list[Path]) -> None:
    """Raise TLError where "classes" are pictures and masks, or hold the same folders."""
    masks = [f for f in classes if MASKS.fullmatch(f.name)]
    images = [f for f in classes if is_filler(f.name)]
    if masks and images and len(masks) + len(images) == len(classes):
        _refuse_masks(images[0], masks[0])
    below = [(f, {s.name.lower() for s in _subfolders(f)}) for f in classes if not _images_in(f)]
    below = [(f, names) for f, names in below if len(names) > 1 and not all(map(_is_year, names))]
    for (one, names), (other, others) in pairwise(below):
        if 2 * len(names & others) >= max(len(names), len(others)) and len(names & others) > 1:
            raise TLError(
                f"{one.name!r} and {other.name!r} in '{one.parent}' hold the same folders"
                f" ({naming(map(repr, sorted(names & others)))}): they are not the classes",
                f"give the folder of the classes, such as --data '{one}' or --data '{other}'",
            )


def _refuse_masks(images: Path, masks: Path) -> None:
    stems = {Path(e.name).stem for e in _entries(images) if not _is(e, "dir")}
    same = stems & {Path(e.name).stem for e in _entries(masks) if not _is(e, "dir")}
    folders = _subfolders(images)
    if not same and not folders:
        return
    raise TLError(
        f"{images.name!r} and {masks.name!r} in '{images.parent}' are pictures and their masks,"
        " not two classes",
        f"--data '{images}'"
        + ("" if folders else ", after sorting its images into folders named for what they show"),
    )


def _is_year(name: str) -> bool:
    return re.fullmatch(r"(19|20)\d\d", name) is not None


def _list_classes(folder: Path, classes: list[Path], split: str, found: _Found) -> None:
    """Add the images of every class folder in `folder`."""
    _check_level(classes)
    above = frozenset(_identity(f) for f in (folder, *folder.parents))
    for path in classes:
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
    todo = [folder]  # not by recursion: a folder may be a thousand levels deep
    while todo:
        folder = todo.pop()
        seen.add(_identity(Path(folder)))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield folder, f"is a folder that cannot be opened ({(error.strerror or '').lower()})"
            continue
        below = [entry.path for entry in entries if _is_below(entry, seen, others)]
        todo += reversed(below)
        for entry in entries:
            if _is_hidden(entry.name) or _is(entry, "dir"):
                continue
            if Path(entry.name).suffix.lower() not in SUFFIXES:
                others[Path(entry.name).suffix.lower() or "no ending"] += 1
            else:
                yield entry.path, _why_not(entry)


def _is_below(entry: os.DirEntry[str], seen: set[Identity], others: Counter[str]) -> bool:
    """Return whether an entry is a folder to enter, and note it; what tl wrote is counted."""
    if _is_hidden(entry.name) or not _is(entry, "dir"):
        return False
    if is_ours(Path(entry.path)):
        others[OURS] += 1
        return False
    identity = _identity(Path(entry.path))
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _why_not(entry: os.DirEntry[str]) -> str:
    if _is(entry, "file"):
        return ""
    broken = entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110
    return "is a broken link" if broken else "is not a regular file"


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
    """Return what is not hidden; nothing of a folder that may not be opened: `walk` tells of it."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        return []
    return [e for e in entries if not _is_hidden(e.name)]


def _check_open(folder: Path) -> None:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise TLError(
            f"the folder '{folder}' cannot be opened (permission denied)",
            f"chmod -R u+rX '{folder}', or run as the user who owns it",
        )


def _notes(found: _Found) -> tuple[str, ...]:
    ours = found.others.pop(OURS, 0)
    if ours:
        found.notes.append(f"{count(ours, 'folder')} that tl wrote (runs, reports): left out")
    if not found.others:
        return tuple(found.notes)
    kinds = naming(f"{ending} ({n:,})" for ending, n in found.others.most_common())
    return (*found.notes, f"files that are no images by their name, left out: {kinds}")


def _none(root: Path, found: _Found) -> TLError:
    entries = _entries(root)
    if not entries:
        return TLError(f"the folder '{root}' is empty", "expected: DIR/<class>/<images>")
    found.others.pop(OURS, 0)
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
