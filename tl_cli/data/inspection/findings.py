"""What is wrong with a set of images or worth knowing, and what it means for the training.

Knows manifests; nothing of files, of drawing, and of what a reader sees first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tl_cli.data import grey_levels, quantities
from tl_cli.data.duplicates import FEW, IMBALANCE, findings
from tl_cli.data.groups import patients
from tl_cli.data.manifest import REGRESSION, BadFile, Manifest, Record
from tl_cli.humanize import count, short

WRONG, NOTE = "wrong", "note"
ELONGATED = 3.0  # longer side / shorter side; every image is squashed to a square

Group = tuple[Record, ...]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong or worth knowing."""

    kind: str
    severity: str  # WRONG, or NOTE
    count: int
    text: str  # what was found
    meaning: str  # for the training, one sentence
    examples: tuple[str, ...] = ()


def found(
    scanned: Manifest,
    split: Manifest | None,
    refused: str,
    exact: Sequence[Group],
    near: Sequence[Group],
) -> Iterator[Finding]:
    """Yield what was found, the gravest first."""
    yield from _doubt(scanned)
    yield from _bad(scanned.bad)
    number = scanned.task == REGRESSION
    if not scanned.doubt:  # what is refused is refused of classes
        yield from _refused(scanned, refused)
    yield from _leaks(exact, near)
    yield from _groups(scanned)
    yield from _patients(scanned)
    # numbers of images that look alike differ, as a rule
    yield from _labels(exact, () if number else near)
    yield from _copies(exact)
    yield from _similar(near, number=number)
    if not number:
        yield from _classes(scanned, split)
    yield from _pixels(scanned.records)
    yield from _left_out(scanned)


def _doubt(scanned: Manifest) -> Iterator[Finding]:
    if scanned.doubt:
        told = f"Training asks what is meant: {scanned.doubt.choices}."
        yield Finding("labels", WRONG, len(scanned.records), scanned.doubt.what, told)


def _bad(bad: Sequence[BadFile]) -> Iterator[Finding]:
    if bad:
        yield Finding(
            "bad_files",
            WRONG,
            len(bad),
            f"{count(len(bad), 'file')} cannot be used",
            "Training skips them, and the set is smaller than it seems: repair or delete them.",
            tuple(f"{short(b.path)} {b.reason}" for b in bad),
        )


def _refused(scanned: Manifest, refused: str) -> Iterator[Finding]:
    if scanned.task == REGRESSION:
        if quantities.different(scanned.records) < 2:
            told = "There is nothing to learn: training refuses."
            yield Finding("one_number", WRONG, 1, "every image has the same number", told)
    elif len(scanned.classes) < 2:
        only = f"there is only one class, {scanned.classes[0]!r}"
        meaning = "A classifier needs at least two: training refuses."
        yield Finding("one_class", WRONG, 1, only, meaning)
    if refused:
        meaning = "Training refuses until there are more images of it, or the class is gone."
        if scanned.task == REGRESSION:
            meaning = "Training refuses until there are more images."
        yield Finding("cannot_split", WRONG, 1, refused, meaning)


def _leaks(exact: Sequence[Group], near: Sequence[Group]) -> Iterator[Finding]:
    for kind, how, groups, meaning in (
        (
            "leak",
            "exact copies",
            exact,
            "The accuracy measured on them would be too good, so training leaves the copies out.",
        ),
        (
            "near_leak",
            "nearly the same",
            near,
            "The accuracy measured on them is too good, and training cannot tell which one to"
            " leave out: remove one of each.",
        ),
    ):
        across = [g for g in groups if _differ(g, _split)]
        if across:
            text = f"{count(len(across), 'image')} in more than one split ({how})"
            examples = _examples(across, _split)
            yield Finding(kind, WRONG, len(across), text, meaning, examples)


def _groups(scanned: Manifest) -> Iterator[Finding]:
    own: dict[str, set[str]] = {}
    for record in scanned.records:
        own.setdefault(record.group, set()).add(record.split)
    across = [name for name, splits in own.items() if name and len(splits) > 1]
    if across:
        yield Finding(
            "group_leak",
            WRONG,
            len(across),
            f"{count(len(across), 'group')} in more than one split of the source",
            "What is measured holds for groups that were trained on, and not for new ones.",
            tuple(f"{name!r}: {', '.join(sorted(own[name]))}" for name in across),
        )


def _patients(scanned: Manifest) -> Iterator[Finding]:
    if number := patients(scanned.records):
        text = f"the files name {count(number, 'patient')}"
        meaning = "Images of one patient are never on both sides of a split."
        yield Finding("patients", NOTE, number, text, meaning)


def _labels(exact: Sequence[Group], near: Sequence[Group]) -> Iterator[Finding]:
    for kind, severity, what, groups, meaning in (
        (
            "conflict",
            WRONG,
            "image",
            exact,
            "At most one label is right, and the network is taught both: correct or remove them.",
        ),
        (
            "near_conflict",
            NOTE,
            "set of images that look nearly the same",
            near,
            "One of them may be labelled wrongly: look at them.",
        ),
    ):
        doubtful = [g for g in groups if _differ(g, _label)]
        if doubtful:
            text = f"{_count(len(doubtful), what)} with more than one label"
            yield Finding(kind, severity, len(doubtful), text, meaning, _examples(doubtful, _label))


def _copies(exact: Sequence[Group]) -> Iterator[Finding]:
    """Copies beyond the first in one split; in another split they are leaks."""
    groups = [g for g in exact if len({r.split for r in g}) < len(g) and not _differ(g, _label)]
    if groups:
        extra = sum(len(g) - len({r.split for r in g}) for g in groups)
        yield Finding(
            "copies",
            NOTE,
            extra,
            f"{count(extra, 'exact copy')} of other images",
            "They count double in what is learned and measured; the split keeps them together.",
            _examples(groups, _label),
        )


def _similar(near: Sequence[Group], *, number: bool) -> Iterator[Finding]:
    """Those of one split of the source; in two they are leaks."""
    within = [g for g in near if not _differ(g, _split) and (number or not _differ(g, _label))]
    if not within:
        return
    meaning = "They add little that is new; the split and the folds keep them together."
    text = f"{_count(len(within), 'set of images')} that look nearly the same"
    yield Finding("near_duplicates", NOTE, len(within), text, meaning, _examples(within, _split))


def _classes(scanned: Manifest, split: Manifest | None) -> Iterator[Finding]:
    counts = scanned.counts()
    few = [name for name, n in counts.items() if n < FEW]
    if few:
        yield Finding(
            "small_classes",
            NOTE,
            len(few),
            f"{count(len(few), 'class')} with fewer than {FEW} images",
            "They are too few to learn from and to measure: add images, or merge classes.",
            tuple(f"{name!r}: {count(counts[name], 'image')}" for name in few),
        )
    yield from _unmeasured(scanned, split)
    most, least = max(counts.values()), min(counts.values())
    if most >= IMBALANCE * least:
        yield Finding(
            "imbalance",
            NOTE,
            1,
            f"the largest class has {most / least:,.0f} times the images of the smallest",
            "Look at balanced accuracy rather than at accuracy, and try --balance weights.",
        )


def _unmeasured(scanned: Manifest, split: Manifest | None) -> Iterator[Finding]:
    if split is None:
        return
    alien = [name for name in scanned.classes if name not in split.classes]
    if alien:
        yield Finding(
            "untrained",
            WRONG,
            len(alien),
            f"{count(len(alien), 'class')} without an image to train on",
            "Training leaves out their images, which are held out for validation or test.",
            tuple(map(repr, alien)),
        )
    held_out = [split.counts(name) for name in ("val", "test") if split.of(name)]
    absent = [c for c in split.classes if any(not counts[c] for counts in held_out)]
    if absent:
        yield Finding(
            "unmeasured",
            NOTE,
            len(absent),
            f"{count(len(absent), 'class')} without an image to validate or test on",
            "They are learned, but how well cannot be told.",
            tuple(repr(name) for name in absent),
        )


def _pixels(records: Sequence[Record]) -> Iterator[Finding]:
    turned = sum(r.orientation != 1 for r in records)
    if turned:
        text = f"{count(turned, 'image')} with an EXIF rotation"
        meaning = "They are turned upright, in training and in prediction alike."
        yield Finding("exif_rotated", NOTE, turned, text, meaning)
    bits = grey_levels.held(records)
    if bits and bits < grey_levels.FILE:
        own = [known for r in records if (known := grey_levels.bits_in(r.mode))]
        deep, brighter = len(own), sum(known > bits for known in own)
        text = f"{count(deep, 'image')} of {grey_levels.FILE} bits, of which only {bits} are used"
        text += f", but in {count(brighter, 'image')}" if brighter else ""
        meaning = f"Levels 0 to {2**bits - 1:,} become 0 to 255, in training and prediction alike."
        yield Finding("grey_bits", NOTE, deep, text, meaning)
    modes = Counter(r.mode for r in records if r.mode != "RGB")
    if modes:
        text = f"{count(modes.total(), 'image')} in another mode than RGB"
        yield Finding("modes", NOTE, modes.total(), text, _converted(modes))
    long = [r for r in records if max(r.width, r.height) >= ELONGATED * min(r.width, r.height) > 0]
    if long:
        text = f"{count(len(long), 'image')} at least {ELONGATED:g} times as long as wide"
        meaning = "They are squashed to a square, so what they show is distorted: crop them."
        examples = tuple(f"{short(r.path)}: {r.width} x {r.height}" for r in long)
        yield Finding("elongated", NOTE, len(long), text, meaning, examples)


def _converted(modes: Iterable[str]) -> str:
    clear = "; transparency is laid on white" if any(m.endswith("A") for m in modes) else ""
    deep = "; 16 bits are scaled to 8" if any(";" in m or m[0] in "IF" for m in modes) else ""
    return f"They become RGB{clear}{deep}, in training and in prediction alike."


def _left_out(scanned: Manifest) -> Iterator[Finding]:
    """What the listing told: the scan's other notes are findings of the kinds above."""
    others = set(findings(scanned)) if scanned.notes else set()
    for note in scanned.notes:
        if note not in others and "left out" in note:
            yield Finding("left_out", NOTE, 1, note, "Nothing of it reaches the training.")
        elif note not in others:
            meaning = "Training reads it so, too: look whether it is what you meant."
            yield Finding("layout", NOTE, 1, note, meaning)


def _split(record: Record) -> str:
    return record.split


def _label(record: Record) -> str:
    return record.label


def _differ(group: Group, what: Callable[[Record], str]) -> bool:
    return len({what(r) for r in group}) > 1


def _examples(groups: Iterable[Group], what: Callable[[Record], str]) -> tuple[str, ...]:
    """Name the images of each group, with what they differ in."""
    return tuple(
        " and ".join(
            short(r.path) + (f" ({what(r)})" if _differ(group, what) else "") for r in group
        )
        for group in groups
    )


def _count(n: int, thing: str) -> str:
    """Count things whose first word takes the plural: ``2 sets of images``."""
    first, *rest = thing.split(" ", 1)
    return " ".join([count(n, first), *rest])
