"""Images in folders: ``DIR/<class>/…`` or ``DIR/train|val|test/<class>/…``. Opens no image.

What the folders mean is decided in `layout`; here their images are listed, and what is odd is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tl_cli.data.manifest import BadFile, Manifest, Options, Record
from tl_cli.data.sources import layout
from tl_cli.data.sources.beside import other_labels, table_of
from tl_cli.data.sources.entries import (
    HIDDEN,
    OUR_PICTURES,
    OURS,
    check_open,
    identity,
    images_in,
    subfolders,
    visible,
    walk,
)
from tl_cli.data.sources.layout import ALSO_CLASSES, ClassFolder, holding
from tl_cli.data.sources.split_names import SPLIT_FOLDERS, is_filler, split_of
from tl_cli.errors import TLError
from tl_cli.humanize import count, naming

EXPECTED = "expected: DIR/<class>/<images>"
MASK_OF = re.compile(r"(?i)(.+?)[\W_]+(mask|seg|segmentation|gt|ground[\W_]?truth)s?([\W_]?\d+)?")


@dataclass
class _Listing:
    """What has been listed so far."""

    records: list[Record] = field(default_factory=list)
    bad: list[BadFile] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # endings of files that are no images
    notes: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)


def listed(source: str, options: Options) -> Manifest:
    """List the image files of a folder, unopened. Raises TLError for a layout not ours."""
    given = Path(source).expanduser().absolute()
    cache = options.cache.expanduser().absolute() if options.cache else None
    listing = _Listing()
    check_open(given)
    root = layout.class_level(given, cache)
    if root != given:
        listing.notes.append(f"the classes lie further down, in '{root}'")
        _without_masks(holding(root.parent, cache), listing)
    every = subfolders(root)
    listing.others[OURS] += sum(layout.is_left_out(f, cache) for f in every)
    folders = _without_masks(holding(root, cache), listing)
    _check_labelled(root, folders)
    splits = layout.splits_among(folders)
    for folder in splits:
        check_open(folder)
    if splits:
        _list_splits(every, folders, splits, listing)
    else:
        aside = _beside_classes(folders, listing)
        empty = [f for f in every if f not in folders and not layout.is_left_out(f, cache)]
        _list_classes(root, [f for f in folders if f not in aside], empty, "", listing)
    if not listing.records and not listing.bad:
        raise _none(root, listing)
    return Manifest(source, (), tuple(listing.records), tuple(listing.bad), _notes(listing))


def _without_masks(folders: Sequence[Path], listing: _Listing) -> Sequence[Path]:
    kept = layout.pictures(folders)
    if len(kept) < len(folders):
        names = naming(repr(f.name) for f in folders if f not in kept)
        listing.notes.append(f"masks, beside the pictures in {kept[0].name!r}: {names}, left out")
    return kept


def _check_labelled(root: Path, folders: Sequence[Path]) -> None:
    """Raise TLError where images lie in folders that do not say what they show."""
    flat = [f for f in folders if not holding(layout.within_split(f))]
    if not folders or len(flat) < len(folders):
        return
    splits = all(split_of(f.name) for f in folders)
    if splits or (len(folders) == 1 and is_filler(folders[0].name)):
        first = flat[0].name
        raise TLError(
            f"{naming(repr(f.name) for f in flat)} in '{root}' holds images directly, not one"
            f" folder a class{other_labels(root)}",
            table_of(root)
            or f"put them into folders named for what they show: {first}/cat/…, {first}/dog/…",
        )


def _list_splits(
    every: Sequence[Path], folders: Sequence[Path], splits: dict[Path, str], listing: _Listing
) -> None:
    inner = {folder: layout.within_split(folder) for folder in splits}
    known = [c for f, split in splits.items() if split == "train" for c in holding(inner[f])]
    for folder, split in splits.items():
        classes = holding(inner[folder])
        if not classes or (split != "train" and layout.unlabelled(folder, known)):
            _note_unlabelled(folder, listing)
            continue
        if folder.name.lower() not in SPLIT_FOLDERS:
            listing.notes.append(f"the folder {folder.name!r} is taken for the {split} split")
        empty = [f for f in subfolders(inner[folder]) if f not in classes]
        _list_classes(inner[folder], _without_masks(classes, listing), empty, split, listing)
    beside = [repr(f.name) for f in every if f not in splits]
    if beside:
        listing.notes.append(f"left out, beside the splits: {naming(beside)}")


def _note_unlabelled(folder: Path, listing: _Listing) -> None:
    inner = layout.within_split(folder)
    below = holding(inner)
    images = sum(1 for f in below or [inner] for _ in walk(str(f), set(), Counter()))
    where = f"all in {below[0].name!r}" if below else "in no class folder"
    number = count(images, "image")
    listing.notes.append(f"{folder.name!r} has no labels ({number}, {where}): left out")


def _beside_classes(folders: Sequence[Path], listing: _Listing) -> list[Path]:
    """List the test and validation folders that lie beside classes; return those that do."""
    held_out = {f: s for f in folders if (s := split_of(f.name)) in ("val", "test")}
    classes = [f for f in folders if f not in held_out]
    names = {f.name.lower() for f in classes}
    aside = [f for f in folders if layout.NO_LABEL.fullmatch(f.name)]
    for folder in aside:
        _note_unlabelled(folder, listing)
    for folder, split in held_out.items():
        inner = layout.within_split(folder)
        below = holding(inner)
        if names & {f.name.lower() for f in below}:
            listing.notes.append(
                f"the folder {folder.name!r} beside the classes is the {split} split"
            )
            empty = [f for f in subfolders(inner) if f not in below]
            _list_classes(inner, below, empty, split, listing)
        elif layout.unlabelled(folder, classes) and folder.name.lower() not in ALSO_CLASSES:
            _note_unlabelled(folder, listing)
        else:
            continue
        aside.append(folder)
    return aside if len(aside) < len(folders) else []


def _list_classes(
    folder: Path, classes: Sequence[Path], empty: Sequence[Path], split: str, listing: _Listing
) -> None:
    """Add the images of every class folder in `folder`."""
    aside = [f for f in classes if layout.NO_LABEL.fullmatch(f.name)] if split else []
    for path in aside:
        _note_unlabelled(path, listing)
    parts = {f: list(layout.parts(f, split)) for f in classes if f not in aside}
    layout.check([f for f, [*own] in parts.items() if own[0].walked == f])
    _note_parts(
        [part for own in parts.values() for part in own if part.walked != part.path], listing
    )
    above = frozenset(identity(f) for f in (folder, *folder.parents))
    for own in parts.values():
        for part in own:
            _list_images(part, set(above), listing)
    where = f" in {split}" if split else ""
    for path in empty:
        listing.notes.append(f"class {path.name!r} has no images{where}: left out")
        _count_others(path, listing)
    loose = images_in(folder)
    if loose and listing.records:
        listing.notes.append(
            f"{count(loose, 'image')} directly in '{folder}', in no class folder: left out"
        )


def _count_others(folder: Path, listing: _Listing) -> None:
    for _ in walk(str(folder), set(), listing.others):
        pass


def _note_parts(parts: Sequence[ClassFolder], listing: _Listing) -> None:
    below = [part for part in parts if part.walked != part.path]
    if not below:
        return
    example = f"'{below[0].path.name}/{below[0].walked.name}'"
    if len({part.split for part in below}) > 1:
        listing.notes.append(f"the splits lie within the classes, as in {example}")
    else:
        listing.notes.append(
            f"masks within the classes, left out: pictures are taken from {example}, …"
        )


def _list_images(part: ClassFolder, seen: set[tuple[int, int]], listing: _Listing) -> None:
    label = part.path.name
    files = list(walk(str(part.walked), seen, listing.others))
    masks = set(_masks(file for file, _ in files))
    listing.masks += masks
    for file, reason in files:
        if file in masks:
            continue
        if reason:
            listing.bad.append(BadFile(file, label, reason))
        else:
            listing.records.append(Record(file, label, part.split))


def _masks(files: Iterator[str]) -> Iterator[str]:
    """Yield the files that are named as the mask of another one beside them: ``1_mask.png``."""
    stems = {file.rpartition(".")[0]: file for file in files}
    for stem, file in stems.items():
        named = MASK_OF.fullmatch(stem)
        if named and named[1] in stems:
            yield file


def _notes(listing: _Listing) -> tuple[str, ...]:
    others, notes = listing.others, listing.notes
    ours, drawn = others.pop(OURS, 0), others.pop(OUR_PICTURES, 0)
    others.pop(HIDDEN, 0)
    if ours:
        notes.append(f"{count(ours, 'folder')} that tl wrote (runs, reports): left out")
    if drawn:
        notes.append(f"{count(drawn, 'picture')} that tl drew (inspect, explain): left out")
    if listing.masks:
        example = repr(Path(min(listing.masks)).name)
        number = count(len(listing.masks), "file")
        notes.append(f"{number} named as the mask of another one, such as {example}: left out")
    if +others:
        kinds = naming(f"{ending} ({n:,})" for ending, n in others.most_common())
        notes.append(f"files that are no images by their name, left out: {kinds}")
    return tuple(notes)


def _none(root: Path, listing: _Listing) -> TLError:
    if not visible(root):
        return TLError(f"the folder '{root}' is empty", EXPECTED)
    loose = images_in(root)
    if loose:
        return TLError(
            f"'{root}' holds {count(loose, 'image')} directly, but no class folders"
            + other_labels(root),
            table_of(root)
            or "put them into folders named for what they show: DIR/cat/…, DIR/dog/…",
        )
    for name in (OURS, OUR_PICTURES, HIDDEN):
        listing.others.pop(name, 0)
    kinds = naming(f"{ending} ({n:,})" for ending, n in listing.others.most_common())
    beside = f"; found instead: {kinds}" if kinds else ""
    return TLError(
        f"no images in '{root}'{beside}",
        f"{EXPECTED}, with endings such as .jpg .png .webp .tif",
    )
