"""A run's images with some taken in, some taken out, and labels corrected. Pure but for `joined`.

What was decided of the images that stay holds: each is in the split that it was in. Knows nothing
of features and heads.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tl_cli.data import class_names, duplicates, groups, quantities
from tl_cli.data.manifest import JOINT, MULTILABEL, REGRESSION, Manifest, Record
from tl_cli.data.split import assign_added
from tl_cli.errors import TLError, did_you_mean
from tl_cli.humanize import count, naming, short

OTHERWISE = {MULTILABEL: "with other labels", REGRESSION: "with another number"}
TEST_SHARE = 0.2  # at most, of added images, where the run's test images came as a split


@dataclass(frozen=True)
class Update:
    """What is changed of a run's images, and what they are then."""

    manifest: Manifest
    added: tuple[Record, ...] = ()
    removed: tuple[Record, ...] = ()
    relabelled: tuple[Record, ...] = ()  # as they are now
    forgotten: bool = False  # whether nothing of what was removed is to be kept anywhere
    notes: tuple[str, ...] = ()


def joined(
    before: Update,
    new: Manifest,
    *,
    val: float,
    test: float,
    seed: int = 0,
    folds: int = 0,
    fold: int = 0,
) -> Update:
    """Return the update with the images of another manifest taken in, each in a split.

    Exact copies of images that are there are left out, which is noted. Opens images, to see which
    are nearly the same as others (see `duplicates.mark_near`). Raises TLError where nothing new is
    left, and for a new class of a single image.
    """
    kept = before.manifest.records
    task = before.manifest.task
    new, told = _named(new, before.manifest.classes)
    label_of = {groups.content(record): record.label for record in kept}
    fresh = [record for record in new.records if record.digest not in label_of]
    copies = [r for r in new.records if r.digest in label_of]
    told += _copies(copies, label_of, OTHERWISE.get(task, ""))
    if not fresh:
        raise TLError(
            f"the run has all of the {count(len(new.records), 'image')} in {new.source} already",
            "give images that it has not seen",
        )
    marked = duplicates.mark_near([*kept, *fresh])
    old = [replace(r, near=m.near or r.near) for r, m in zip(kept, marked, strict=False)]
    if not test and any(record.split == "test" for record in kept):
        test = min(TEST_SHARE, sum(record.split == "test" for record in kept) / len(kept))
    alike, others = (_dealt(before.manifest, part) for part in (old, marked[len(kept) :]))
    placed, notes = assign_added(
        alike, others, val=val, test=test, seed=seed, folds=folds, fold=fold, task=task
    )
    added = tuple(replace(p, label=r.label) for p, r in zip(placed, fresh, strict=True))
    classes = before.manifest.classes
    if task != REGRESSION:
        names = {name for record in added for name in before.manifest.names(record)}
        classes = tuple(sorted({*classes, *names}))
    manifest = replace(before.manifest, classes=classes, records=(*old, *added))
    return replace(
        before, manifest=manifest, added=added, notes=(*before.notes, *told, *notes, *new.notes)
    )


def of_task(new: Manifest, task: str) -> Manifest:
    """Return new images as of a run's kind of labels: those of folders have one label each."""
    if task != MULTILABEL or new.task == MULTILABEL:
        return new
    note = f"each image of '{new.source}' has one label, that of its folder, and none of the others"
    return replace(new, task=task).with_notes(note)


def _dealt(manifest: Manifest, records: Sequence[Record]) -> Sequence[Record]:
    """Return the records as they are dealt into splits: numbers are as if of one class."""
    if manifest.task != REGRESSION:
        return records
    return [replace(record, label=manifest.classes[0]) for record in records]


def _named(new: Manifest, classes: Sequence[str]) -> tuple[Manifest, list[str]]:
    """Return new images under the run's names of their classes, where those differ in case only."""
    same = {} if new.task == REGRESSION else class_names.but_for_case(new.classes, classes)
    if not same:
        return new, []
    named = naming(f"{old!r} is {name!r}" for old, name in sorted(same.items()))
    records = [
        replace(r, label=JOINT.join(sorted({same.get(name, name) for name in new.names(r)})))
        for r in new.records
    ]
    return replace(new, records=tuple(records)), [
        f"names that differ from the run's only in case: {named}"
    ]


def _copies(copies: Sequence[Record], label_of: Mapping[str, str], what: str = "") -> list[str]:
    """Return what is to be said of images that the run has already. `what`: not of a class."""
    if not copies:
        return []
    notes = [f"left out {count(len(copies), 'image')} that the run has already"]
    others = [r for r in copies if label_of[r.digest] != r.label]
    if others:
        first = others[0]
        be = what or f"{'is' if len(others) == 1 else 'are'} of another class"
        notes.append(
            f"{len(others):,} of them {be} in the run, which holds: {short(first.path)} is "
            f"{label_of[first.digest]!r} there"
        )
    return notes


def without(before: Update, names: Sequence[str]) -> Update:
    """Return the update with images taken out: each name a class, an image, or a folder of images.

    By the paths that the run knows, so that images that are gone can be named, too. A label of
    several goes from all images, and those that have no other go with it. Raises TLError for a name
    that is nothing of the run's, and where too little would be left.
    """
    manifest = before.manifest
    labels = {*names} & {*manifest.classes} if manifest.task == MULTILABEL else set()
    going = [r for name in names if name not in labels for r in _meant(name, manifest)]
    if labels:
        going += [r for r in manifest.records if r.label and {*manifest.names(r)} <= labels]
        before = _unlabelled(before, labels)
    return replace(_removed(before, going), forgotten=True)


def _unlabelled(before: Update, labels: Collection[str]) -> Update:
    """Return the update with labels taken from the images that have others, too; say of how many.

    Images that have no others are left as they are.
    """
    manifest = before.manifest
    left = [[n for n in manifest.names(r) if n not in labels] for r in manifest.records]
    records = [
        replace(r, label=JOINT.join(names) or r.label)
        for r, names in zip(manifest.records, left, strict=True)
    ]
    n = sum(old != new for old, new in zip(manifest.records, records, strict=True))
    if not n:
        return before
    images = f"{count(n, 'image')} that {'has' if n == 1 else 'have'} others, too"
    note = f"{naming(map(repr, sorted(labels)))} taken from {images}"
    return replace(
        before, manifest=replace(manifest, records=tuple(records)), notes=(*before.notes, note)
    )


def _removed(before: Update, going: Iterable[Record]) -> Update:
    """Return the update without some images; whatever has the content of one goes with it."""
    contents = {groups.content(record) for record in going}
    records = before.manifest.records
    return replace(
        before,
        manifest=trainable(
            before.manifest.with_records(r for r in records if groups.content(r) not in contents)
        ),
        removed=tuple(r for r in records if groups.content(r) in contents),
    )


def _meant(name: str, manifest: Manifest) -> list[Record]:
    """Return the images that a name stands for: those of a class, else by their path."""
    if name in manifest.classes and manifest.task != REGRESSION:
        return [record for record in manifest.records if record.label == name]
    places = {os.path.abspath(Path(name).expanduser()), str(Path(name).expanduser().resolve())}  # noqa: PTH100  # of links, what was typed
    found = [r for r in manifest.records if r.path == name or _is_in(r.path, places)]
    if not found:
        near = did_you_mean(name, manifest.classes)
        raise TLError(
            f"'{name}' is neither a class of the run nor the path of any of its images",
            near or f"its classes: {naming(manifest.classes, 8)}; paths are in its manifest.csv",
        )
    return found


def _is_in(path: str, places: Collection[str]) -> bool:
    return any(path == place or path.startswith(place.rstrip(os.sep) + os.sep) for place in places)


def trainable(manifest: Manifest) -> Manifest:
    """Return the manifest with the classes that can be trained.

    Raises TLError where these are fewer than two, where a class that is held out has no image to
    train on, and where no image is left to validate on.
    """
    if manifest.task == REGRESSION:
        _check_numbers(manifest)
        return manifest
    trained = {name for r in manifest.of("train") for name in manifest.names(r)}
    alone = sorted({name for r in manifest.records for name in manifest.names(r)} - trained)
    if alone:
        raise TLError(
            f"no image would be left to train on of {naming(map(repr, alone))}",
            "take out the whole class, or leave more of its images",
        )
    if len(trained) < 2:
        raise TLError(
            f"{count(len(trained), 'class')} would be left to train on",
            "leave at least two, or train anew on other images",
        )
    _check_validated(manifest)
    return replace(manifest, classes=tuple(sorted(trained)))


def _check_numbers(manifest: Manifest) -> None:
    if quantities.different(manifest.of("train")) < 2:
        raise TLError(
            "fewer than two different numbers would be left to train on",
            "leave more images, or train anew on others",
        )
    _check_validated(manifest)


def _check_validated(manifest: Manifest) -> None:
    if not manifest.of("val"):
        raise TLError(
            "no image would be left to validate on",
            "train anew on the images that stay: their split is then made anew",
        )


def corrected(before: Update, label_of: Mapping[str, str | None]) -> Update:
    """Return the update with other labels, by path; None takes the image out.

    Copies of one content have one label, and each stays in its split. Raises TLError for an image
    that is none of the run's, and where too little would be left of a class.
    """
    old = before.manifest.records
    known = {record.path: groups.content(record) for record in old}
    if lacking := [path for path in label_of if path not in known]:
        raise TLError(
            f"{count(len(lacking), 'image')} of the table {'is' if len(lacking) == 1 else 'are'} "
            f"not the run's: {naming(map(short, lacking))}",
            "apply it to the run that it was written for",
        )
    said = {known[path]: label for path, label in label_of.items()}
    before = _removed(before, [r for r in old if said.get(groups.content(r), "") is None])
    records = [
        r if (label := said.get(groups.content(r))) is None else replace(r, label=label)
        for r in before.manifest.records
    ]
    changed = [new for was, new in zip(before.manifest.records, records, strict=True) if was != new]
    manifest = trainable(before.manifest.with_records(records))
    return replace(before, manifest=manifest, relabelled=tuple(changed))


def near_of(removed: Sequence[Record], manifest: Manifest) -> list[Record]:
    """Return what stays and looks nearly the same as an image that goes."""
    keys = {record.near for record in removed if record.near}
    return [record for record in manifest.records if record.near in keys]
