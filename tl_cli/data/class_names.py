"""Which labels are one class: those equal to the eye. Pure; knows labels and splits, no files."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tl_cli.data.manifest import JOINT, MULTILABEL, REGRESSION, Manifest, names_in
from tl_cli.errors import TLError, did_you_mean
from tl_cli.humanize import count, naming

LEGACY = "cp1252"  # what names that are not UTF-8 mostly were written in
UNSEEN = "\ufeff\u200b"  # a byte order mark and a zero-width space, which `strip` leaves


def joined(manifest: Manifest) -> Manifest:
    """Return the manifest with one label for each class, and a note for whatever was not so.

    Labels are trimmed and brought to Unicode's composed form (NFC), and bytes that are not UTF-8
    are read as Windows-1252. Labels that differ only in case stay apart where some split has both
    (handwritten 'a' and 'A' are classes), and are one class where none has. Raises TLError for a
    label that no file could hold.
    """
    if manifest.task == REGRESSION:
        return manifest  # numbers are no names
    whole = [r.label for r in manifest.records] + [b.label for b in manifest.bad]
    labels = dict.fromkeys(name for label in whole for name in names_in(label, manifest.task))
    name = {label: clean(label) for label in labels}
    notes = [*_of_bytes(name), *_of_spellings(name)]
    splits: dict[str, set[str]] = defaultdict(set)
    for record in manifest.records:
        for own in manifest.names(record):
            splits[name[own]].add(record.split)
    same, told = _of_case(splits)
    name = {label: same.get(new, new) for label, new in name.items()}
    if all(label == new for label, new in name.items()) and not told:
        return manifest

    def renamed(label: str) -> str:
        return JOINT.join(sorted({name[own] for own in names_in(label, manifest.task)}))

    bad = tuple(replace(b, label=renamed(b.label)) for b in manifest.bad)
    records = (replace(r, label=renamed(r.label)) for r in manifest.records)
    return replace(manifest, bad=bad).with_records(records, *notes, *told)


def but_for_case(names: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """Return which class each name is that is none as it is written, but is one but for case.

    Not where the names have that class itself, too.
    """
    folded: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        folded[name.casefold()].append(name)
    alike = {name: folded[name.casefold()] for name in set(names) - set(classes)}
    return {name: own[0] for name, own in alike.items() if len(own) == 1 and own[0] not in names}


def known(manifest: Manifest, classes: Sequence[str]) -> Manifest:
    """Return the images of classes that a checkpoint knows, with notes on the others.

    A name that is a class's but for case is that class, unless the images have the class itself,
    too. Where no class is known the manifest is returned as it is.
    """
    if manifest.task == REGRESSION:  # whatever the quantity is called in another table
        return replace(manifest, classes=tuple(classes))
    same = but_for_case(manifest.classes, classes)
    alien = [name for name in manifest.classes if name not in classes and name not in same]
    if not (same or alien) or len(alien) == len(manifest.classes):
        return manifest
    notes = []
    if same:
        named = naming(f"{name!r} is {same[name]!r}" for name in sorted(same))
        notes.append(f"names that differ from the checkpoint's only in case: {named}")
    several = manifest.task == MULTILABEL  # an image stays, without the labels that are not known
    kept = [r for r in manifest.records if several or r.label not in alien]
    if alien:
        images = count(len(manifest.records) - len(kept), "image")
        what = f"{images} of {count(len(alien), 'class')}"
        what = count(len(alien), "label") if several else what
        near = [hint for name in alien if (hint := did_you_mean(name, classes))]
        notes.append(
            f"{what} that the checkpoint does not know left out,"
            f" so the figures are over the others: {naming(map(repr, alien))}"
            + (f" ({near[0]})" if near else "")
        )
    records = [
        replace(r, label=JOINT.join(sorted({same.get(n, n) for n in manifest.names(r)} - {*alien})))
        for r in kept
    ]
    names = tuple(sorted({name for r in records for name in manifest.names(r)}))
    return replace(manifest, classes=names).with_records(records, *notes)


def clean(label: str) -> str:
    """Return a label as a checkpoint can hold it. Raises TLError where nothing can be made of it.

    A label of blanks alone stays as it is: there is nothing else to call its class.
    """
    try:
        text = label.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise _refused(label) from error
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        try:
            decoded = text.decode(LEGACY)
        except UnicodeDecodeError as error:
            raise _refused(label) from error
    return unicodedata.normalize("NFC", decoded.strip().strip(UNSEEN).strip()) or label


def _refused(label: str) -> TLError:
    return TLError(f"the class name {label!r} is no text in UTF-8", "rename the folder or label")


def _of_bytes(name: Mapping[str, str]) -> Iterable[str]:
    odd = [f"{label!r} as {new!r}" for label, new in name.items() if not _is_utf8(label)]
    if odd:
        names = count(len(odd), "class name")
        yield f"{names} not in UTF-8, read as Windows-1252: {naming(odd)}"


def _is_utf8(label: str) -> bool:
    try:
        label.encode()
    except UnicodeEncodeError:
        return False
    return True


def _of_spellings(name: Mapping[str, str]) -> Iterable[str]:
    spellings: dict[str, list[str]] = defaultdict(list)
    for label, new in name.items():
        spellings[new].append(label)
    several = {new: own for new, own in spellings.items() if len(own) > 1}
    if several:
        named = naming(f"{new!r} ({' and '.join(map(ascii, own))})" for new, own in several.items())
        classes = count(len(several), "class")
        yield f"names that differ only in blanks or Unicode form are one class, {classes}: {named}"


def _of_case(splits: Mapping[str, set[str]]) -> tuple[dict[str, str], list[str]]:
    """Return which labels are another's by case, and what is to be said of them and of the rest."""
    alike: dict[str, list[str]] = defaultdict(list)
    for label in splits:
        alike[label.casefold()].append(label)
    same: dict[str, str] = {}
    one, apart = [], []
    for labels in alike.values():
        if len(labels) == 1:
            continue
        named = " and ".join(map(repr, sorted(labels)))
        holding = [split for label in labels for split in splits[label]]
        if len(holding) > len(set(holding)):
            apart.append(named)
        else:  # the training's spelling, else the first
            kept = min(labels, key=lambda label: ("train" not in splits[label], label))
            same |= dict.fromkeys(labels, kept)
            one.append(f"{named} are {kept!r}")
    notes = []
    if one:
        notes.append(f"names that differ only in case, each in a split of its own: {naming(one)}")
    if apart:
        notes.append(
            f"classes that differ only in case are kept apart: {naming(apart)}; if they are one,"
            " give them one name"
        )
    return same, notes
