"""Records and Manifest: which images there are, what they show and which split they belong to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

SPLITS = ("train", "val", "test")
# what a label is: a class, several classes, a number
CLASSIFICATION, MULTILABEL, REGRESSION = "classification", "multilabel", "regression"
TASKS = (CLASSIFICATION, MULTILABEL, REGRESSION)
JOINT = ";"  # between the names in a label, where an image may have several


@dataclass(frozen=True)
class Record:
    """One readable image: where it is, what it shows, which split it belongs to."""

    path: str  # an absolute file path, or "sample:digits/0042"
    label: str  # a name; several, sorted and joined, or a number, where the task has it so
    split: str = ""  # "train", "val", "test", or "" before the split
    group: str = ""  # images of one group never part
    digest: str = ""  # hash of the content
    width: int = 0  # after EXIF orientation
    height: int = 0
    mode: str = ""
    orientation: int = 1
    phash: str = ""  # perceptual hash, 16 hexadecimal digits
    near: str = ""  # the smallest digest of those that look nearly the same; "" for none

    @property
    def is_open(self) -> bool:
        """Whether the source does not hold it out."""
        return self.split not in ("val", "test")


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used, and why."""

    path: str
    label: str
    reason: str


@dataclass(frozen=True)
class Doubt:
    """What the labels may mean beside what they are taken for."""

    what: str  # a clause
    choices: str  # what to do, with the option that says which is meant


@dataclass(frozen=True)
class Manifest:
    """All images of a data set, in a stable order, with the classes sorted by name.

    Where labels are numbers, the one class is the quantity that they are of.
    """

    source: str  # what the user gave: DIR, FILE.csv, tfds:NAME, sample:NAME
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    bad: tuple[BadFile, ...] = ()
    notes: tuple[str, ...] = ()  # findings worth one line each to the user
    doubt: Doubt | None = None  # to be asked about before anything is trained
    task: str = CLASSIFICATION

    def of(self, split: str) -> tuple[Record, ...]:
        """Return the records of one split ("all" for every one), in order."""
        return tuple(r for r in self.records if split in ("all", r.split))

    def counts(self, split: str = "all") -> dict[str, int]:
        """Return images per class, every class present, zero included."""
        seen = Counter(name for r in self.of(split) for name in self.names(r))
        return {name: seen[name] for name in self.classes}

    def names(self, record: Record) -> tuple[str, ...]:
        """Return the classes that an image is of: one, or of several labels any number."""
        if self.task == REGRESSION:
            return self.classes
        return names_in(record.label, self.task)

    def with_records(self, records: Iterable[Record], *notes: str) -> Manifest:
        """Return this manifest with other records and some more notes."""
        return replace(self, records=tuple(records), notes=self.notes + notes)

    def with_notes(self, *notes: str) -> Manifest:
        """Return this manifest with some more notes."""
        return replace(self, notes=self.notes + notes)


@dataclass(frozen=True)
class Options:
    """What a source may need beside its name."""

    data_dir: str | None = None  # where prepared tfds datasets lie
    columns: Mapping[str, str] = field(default_factory=dict)  # our name -> the table's column
    cache: Path | None = None
    task: str = "auto"  # what the labels are; "auto": as they look


def names_in(label: str, task: str) -> tuple[str, ...]:
    """Return the names in a label of a task's form."""
    if task != MULTILABEL:
        return (label,)
    return tuple(label.split(JOINT)) if label else ()


def natural(path: str) -> tuple[str | int, ...]:
    """Return the sort key that puts ``img2`` before ``img10``."""
    parts = re.split("([0-9]+)", path)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts))
