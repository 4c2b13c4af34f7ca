"""What folders in folders mean: where the classes lie, which folders are splits, which are masks.

Goes by names, and by which folder holds which. Opens no image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tl_cli.data.sources.entries import holds_images, identity, images_in, subfolders
from tl_cli.data.sources.split_names import is_filler, mixed, split_of, splits_of
from tl_cli.errors import TLError
from tl_cli.humanize import naming
from tl_cli.store.marker import is_ours

DEEPEST = 5  # folders in folders above the classes of a split
ALSO_CLASSES = ("valid", "dev", "eval")  # may be what images show, where they hold no folders
MASKS = re.compile(r"(?i).*(mask|annotation|segmentation|ground.?truth|labels?$).*|gt")
NO_LABEL = re.compile(r"(?i)(un|no|not)[\W_]?(label(l?ed)?s?|sup(ervised)?)")
UNKNOWN = re.compile(r"(?i)unknown|unclassified|none|all([\W_]?class(es)?)?|dummy|\d+")
DATE = re.compile(
    r"(?i)(19|20)\d\d([\W_]?[01]?\d([\W_]?[0-3]?\d)?)?"
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*([\W_]?(\d\d)?\d\d)?"
)


@dataclass(frozen=True)
class ClassFolder:
    """A folder of images of one class, or the part of it that is of one split."""

    path: Path  # the class's
    split: str
    walked: Path  # where the images lie: the folder itself, or one below it


def holding(folder: Path, cache: Path | None = None) -> list[Path]:
    """Return the folders in a folder that hold images, but for what tl wrote and links upward."""
    above = {identity(f) for f in (folder, *folder.parents)}
    return [
        f
        for f in subfolders(folder)
        if not is_left_out(f, cache) and holds_images(f) and identity(f) not in above
    ]


def is_left_out(folder: Path, cache: Path | None) -> bool:
    """Whether tl wrote the folder, or all folders in it, or keeps its cache there."""
    if is_ours(folder) or folder == cache:
        return True
    below = subfolders(folder)
    return bool(below) and not images_in(folder) and all(is_ours(f) for f in below)


def class_level(root: Path, cache: Path | None) -> Path:
    """Return the folder of the classes, or of the splits: down while one folder holds everything.

    Where there is one class in the end, the folder that is named for it is nearest to the root:
    the rest are years, cameras and the like.
    """
    levels = [root]
    while not images_in(levels[-1]):
        folders = pictures(holding(levels[-1], cache))
        if len(folders) != 1 or split_of(folders[0].name) or images_in(folders[0]):
            break
        levels.append(folders[0])
    names = [f.name for f in pictures(holding(levels[-1], cache))]
    several = len(names) > 1 and not all(map(DATE.fullmatch, names))
    if several or any(map(split_of, names)):
        return levels[-1]
    named = (above for above, below in pairwise(levels) if not is_filler(below.name))
    return next(named, levels[-1])


def pictures(folders: Sequence[Path]) -> Sequence[Path]:
    """Return the folder of the pictures, where the others beside it hold their masks."""
    masks = [f for f in folders if MASKS.fullmatch(f.name)]
    images = [f for f in folders if is_filler(f.name)]
    apart = masks and len(images) == 1 and len(masks) + 1 == len(folders)
    return images if apart and holding(images[0]) else folders


def within_split(folder: Path) -> Path:
    """Return the folder of the classes: ``seg_train/seg_train``, ``train/images``."""
    for _ in range(DEEPEST):
        below = pictures(holding(folder))
        if len(below) != 1 or images_in(folder):
            break
        if not (split_of(below[0].name) or is_filler(below[0].name)):
            break
        folder = below[0]
    return folder


def splits_among(folders: Sequence[Path]) -> dict[Path, str]:
    """Return which folders side by side are splits; none where they are classes, so called.

    Raises TLError where they are splits that have no labels.
    """
    names = [f.name for f in folders]
    if mixed(names):
        raise TLError(
            f"the folders in '{folders[0].parent}' say both split and class"
            f" ({naming(map(repr, names))})",
            "move them into folders of their own: train/cat/…, test/cat/…",
        )
    splits = {f: split for f in folders if (split := splits_of(names).get(f.name))}
    return splits if _are_splits(folders, splits) else {}


def _are_splits(folders: Sequence[Path], splits: dict[Path, str]) -> bool:
    """Tell splits from classes that happen to be called ``train`` or ``test``."""
    others = [f for f in folders if f not in splits]
    labelled = {f: holding(within_split(f)) for f in splits}
    trained = [f for f, split in splits.items() if split == "train" and labelled[f]]
    if others:  # a train, with folders by its kind, beside a bus and a car
        labels = {c.name.lower() for f in trained for c in labelled[f]}
        alone = len(splits) == 1 and len(others) > 1
        return bool(trained) and not (alone and labels.isdisjoint(f.name.lower() for f in others))
    return any(labelled.values())


def unlabelled(folder: Path, classes: Sequence[Path]) -> bool:
    """Whether a split's images are in no class folder, or in one that only says so."""
    below = holding(within_split(folder))
    known = {f.name.lower() for f in classes}
    return not below or (
        len(below) == 1
        and below[0].name.lower() not in known
        and (is_filler(below[0].name) or any(_says(p, below[0]) for p in (UNKNOWN, NO_LABEL)))
    )


def _says(pattern: re.Pattern[str], folder: Path) -> bool:
    return pattern.fullmatch(folder.name) is not None


def parts(folder: Path, split: str) -> Iterator[ClassFolder]:
    """Yield the parts of a class's folder: its splits, its pictures without their masks, or it."""
    below = [] if images_in(folder) else holding(folder)
    splits = {f: split_of(f.name) for f in below}
    if not split and "train" in splits.values() and all(splits.values()):
        yield from (ClassFolder(folder, own, f) for f, own in splits.items())
        return
    masks = [f for f in below if MASKS.fullmatch(f.name)]
    images = [f for f in below if is_filler(f.name) and f not in masks]
    if masks and images and len(masks) + len(images) == len(below):
        yield from (ClassFolder(folder, split, f) for f in images)
        return
    yield ClassFolder(folder, split, folder)


def check(classes: Sequence[Path]) -> None:
    """Raise TLError where "classes" are pictures and masks, or hold the same folders."""
    masks = [f for f in classes if MASKS.fullmatch(f.name)]
    images = [f for f in classes if is_filler(f.name)]
    if masks and images and len(masks) + len(images) == len(classes):
        raise TLError(
            f"{images[0].name!r} and {masks[0].name!r} in '{images[0].parent}' are pictures and"
            " their masks, not two classes",
            f"--data '{images[0]}', once its images are in folders named for what they show",
        )
    below = [(f, {s.name.lower() for s in subfolders(f)}) for f in classes if not images_in(f)]
    below = [(f, names) for f, names in below if len(names) > 1 and not _is_by_date(names)]
    for (one, names), (other, others) in pairwise(below):
        if 2 * len(names & others) >= max(len(names), len(others)) and len(names & others) > 1:
            raise TLError(
                f"{one.name!r} and {other.name!r} in '{one.parent}' hold the same folders"
                f" ({naming(map(repr, sorted(names & others)))}): they are not the classes",
                f"give the folder of the classes, such as --data '{one}' or --data '{other}';"
                " or a table of all images (path,label)",
            )


def _is_by_date(names: set[str]) -> bool:
    return all(map(DATE.fullmatch, names))
