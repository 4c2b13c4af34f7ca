"""Which image is trained on, validated on, tested on: decided by a hash, never by the order. Pure.

Knows nothing of files; the content's digest is all it needs. Each class is ranked by a hash and cut
where its shares end, so every class has its share to within one image, whatever the others have.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from tl_cli.data import groups, quantities, small_classes, stratification
from tl_cli.data.draws import chance, rank
from tl_cli.data.manifest import (
    CLASSIFICATION,
    JOINT,
    MULTILABEL,
    REGRESSION,
    Manifest,
    Record,
    names_in,
)
from tl_cli.errors import TLError
from tl_cli.humanize import count, naming

Unit = tuple[str, int]  # a key (see `groups`), and how many images have it

HELD_OUT = {"": 0, "train": 0, "val": 1, "test": 2}  # a copy stays where it is held out the most


def assign_splits(
    manifest: Manifest,
    *,
    val: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    folds: int = 0,
    fold: int = 0,
    keep_duplicates: bool = False,
) -> Manifest:
    """Return the manifest with every record in "train", "val" or "test".

    A split of the source is kept; what it lacks is taken from train: a share `test` of each class
    and a share `val` (of what the source has no test of), or part `fold` of `folds` equal parts of
    what is not tested on; to within one image a class. Images of one group, exact copies and near
    copies never part (see `groups`), and count for the class that most of them are of; a class in
    groups has its share to within half a group. A copy of a held-out image is removed from where it
    would be trained on, unless `keep_duplicates`.

    Images of several labels are dealt by iterative stratification (see `stratification`): each
    label has its share as nearly as the others let it, and an image more may move others. Where
    labels are numbers, their bins by quantiles take the place of classes (see `quantities`).

    The same contents, seed and shares give the same split, whatever the files are called and in
    whatever order they come. Of images that stand alone, one that is added moves at most one old
    image over each edge of a share, of its own class and of no other; more validation moves no
    image out of test or validation. Not kept: an image that joins two groups, or that outnumbers
    a group's class, may move the groups.

    A class that only the held-out splits of the source have cannot be learned: its images are left
    out. Raises TLError for shares out of range, for a class with too few images to be trained and
    validated on, and where no image can be validated on.
    """
    _check(val, test, folds, fold)
    manifest = _trainable(_pooled(manifest, folds))
    if not keep_duplicates:
        manifest = _without_copies(manifest)
    given = {r.split for r in manifest.records}
    share = _Shares(
        test=0.0 if "test" in given else test,
        val=0.0 if "val" in given else val,
        folds=folds,
        fold=fold,
    )
    key_of = groups.keys(manifest.records)
    notes: tuple[str, ...] = ()
    whole: list[str] = []
    if manifest.task == MULTILABEL:
        splits = _iterative(manifest, key_of, share, seed)
    elif manifest.task == REGRESSION:
        splits = _by_class(quantities.binned(manifest), key_of, share, seed)
    else:
        splits = _by_class(manifest, key_of, share, seed)
        notes, whole = small_classes.mend(manifest, key_of, splits, seed, share.validates)
    decided = (
        replace(r, split=splits[key]) if r.is_open else r
        for key, r in zip(key_of, manifest.records, strict=True)
    )
    manifest = manifest.with_records(decided, *notes)
    if share.validates and not manifest.of("val"):
        raise TLError(
            "no image can be validated on: "
            + ("" if manifest.task == REGRESSION else "in every class ")
            + "all images belong together, as one group or as copies of one picture",
            "add images of other groups, or of other pictures",
        )
    return manifest.with_records(manifest.records, *_unmeasured(manifest, whole))


def assign_added(
    kept: Sequence[Record],
    new: Sequence[Record],
    *,
    val: float,
    test: float,
    seed: int = 0,
    folds: int = 0,
    fold: int = 0,
    task: str = CLASSIFICATION,
) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Return new images with their splits, beside those that have one already; and notes.

    What was decided of the kept images holds. A split of the new images' source is kept; one that
    must not part from a kept image (see `groups`) goes where that is, where it is held out the
    most; of the others each class gives the shares of `assign_splits`. A class that has no kept
    image gets one to train and one to validate on. Images of several labels are dealt among
    themselves as `assign_splits` deals them. Raises TLError where that cannot be.
    """
    _check(val, test, folds, fold)
    key_of = groups.keys([*kept, *new])
    splits: dict[str, str] = {}
    for key, record in zip(key_of, kept, strict=False):
        splits[key] = max(splits.get(key, "train"), record.split, key=HELD_OUT.__getitem__)
    keys = key_of[len(kept) :]
    free = [(key, r) for key, r in zip(keys, new, strict=True) if key not in splits]
    share = _Shares(test, val, folds, fold)
    notes: tuple[str, ...] = ()
    if task == MULTILABEL:
        part = Manifest("", (), tuple(r for _, r in free), task=task)
        splits |= _iterative(part, [key for key, _ in free], share, seed)
    else:
        notes = _by_added_class(kept, new, keys, free, share, splits, seed)
    placed = tuple(
        replace(r, split=splits[key] if r.is_open else r.split)
        for key, r in zip(keys, new, strict=True)
    )
    if task == MULTILABEL:
        _check_trained([*kept, *placed])
    return placed, notes


def _check_trained(records: Sequence[Record]) -> None:
    """Raise TLError where a label has no image to train on."""
    names = {True: set[str](), False: set[str]()}
    for record in records:
        names[record.split == "train"].update(names_in(record.label, MULTILABEL))
    if lacking := sorted(names[False] - names[True]):
        raise TLError(
            f"no image to train on has {naming(map(repr, lacking))}",
            "add more images that have it: one is trained on, another one validated on",
        )


def _by_added_class(
    kept: Sequence[Record],
    new: Sequence[Record],
    keys: Sequence[str],
    free: Sequence[tuple[str, Record]],
    share: _Shares,
    splits: dict[str, str],
    seed: int,
) -> tuple[str, ...]:
    """Give the `free` keys their splits, each class its shares; return notes of small classes."""
    old = {record.label for record in kept}
    part = Manifest("", tuple(sorted({r.label for r in new} - old)), tuple(r for _, r in free))
    for label, own in _ranked(part, [key for key, _ in free], seed).items():
        # by the content: of images that come one by one, each draws anew
        for key, place in _places(own, chance(seed, "added", f"{label} {own[0][0]}")):
            splits[key] = share.split(place)
    fresh = [(key, r) for key, r in zip(keys, new, strict=True) if r.label in part.classes]
    notes, _ = small_classes.mend(
        part.with_records(r for _, r in fresh),
        [key for key, _ in fresh],
        splits,
        seed,
        share.validates,
    )
    return notes


@dataclass(frozen=True)
class _Shares:
    """Which part of a class's ranks goes where: test, then validation, then training."""

    test: float
    val: float
    folds: int
    fold: int

    def split(self, place: float) -> str:
        """Return the split of what stands at a place in [0, 1) of its class."""
        if place < self.test:
            return "test"
        if self.folds:
            part = int((place - self.test) / (1 - self.test) * self.folds)
            return "val" if min(part, self.folds - 1) == self.fold else "train"
        return "val" if place < self.test + self.val else "train"

    def parts(self) -> list[tuple[float, str]]:
        """Return the parts, each with its share of the images: 1 in all."""
        if self.folds:
            each = (1 - self.test) / self.folds
            dealt = [(each, "val" if i == self.fold else "train") for i in range(self.folds)]
        else:
            dealt = [(1 - self.test - self.val, "train"), (self.val, "val")]
        return [(size, split) for size, split in (*dealt, (self.test, "test")) if size > 0]

    @property
    def validates(self) -> bool:
        """Whether there is a validation part to take."""
        return bool(self.folds) or self.val > 0


def _by_class(
    manifest: Manifest, key_of: Sequence[str], share: _Shares, seed: int
) -> dict[str, str]:
    """Return the split of each key, each class giving the shares."""
    return {
        key: share.split(place)
        for label, own in _ranked(manifest, key_of, seed).items()
        for key, place in _places(own, chance(seed, "offset", label))
    }


def _iterative(
    manifest: Manifest, key_of: Sequence[str], share: _Shares, seed: int
) -> dict[str, str]:
    """Return the split of each key of images with several labels."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: Counter[str] = Counter()
    for key, record in zip(key_of, manifest.records, strict=True):
        if record.is_open:
            labels[key].update(manifest.names(record))
            sizes[key] += 1
    keys = sorted(sizes, key=lambda key: rank(seed, key))
    parts = share.parts()
    needed = [number for number, (_, split) in enumerate(parts) if split != "test"]
    dealt = stratification.dealt(
        [labels[key] for key in keys],
        [sizes[key] for key in keys],
        [size for size, _ in parts],
        needed if not share.folds else (),
    )
    return {key: parts[number][1] for key, number in zip(keys, dealt, strict=True)}


def _ranked(manifest: Manifest, key_of: Sequence[str], seed: int) -> dict[str, list[Unit]]:
    """Return what the classes are cut from: by label, keys and their images, in a hash's order."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for key, record in zip(key_of, manifest.records, strict=True):
        if record.is_open:
            labels[key][record.label] += 1
    ranked: dict[str, list[Unit]] = defaultdict(list)
    for key in sorted(labels, key=lambda key: rank(seed, key)):
        most = min(labels[key], key=lambda label: (-labels[key][label], label))
        ranked[most].append((key, labels[key].total()))
    return ranked


def _places(units: Sequence[Unit], offset: float) -> Iterator[tuple[str, float]]:
    """Yield each key with the place in (0, 1) of its middle image among those of its class.

    The offset, 0..1, decides which way a share that is no whole number of images is rounded: with
    one for all, a hundred classes of seven would all be rounded the same way.
    """
    before, total = 0, sum(size for _, size in units)
    for key, size in units:
        yield key, (before + (size - 1) / 2 + offset) / total
        before += size


def _check(val: float, test: float, folds: int, fold: int) -> None:
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise TLError(
            f"val {val:g} and test {test:g} leave nothing to train on",
            "they are shares of the images, such as --val 0.2 --test 0.1",
        )
    if folds < 0 or folds == 1:
        raise TLError(f"{folds} is no number of folds", "use --folds 5, or 0 for none")
    if folds and not 0 <= fold < folds:
        raise TLError(f"there is no fold {fold} of {folds}", f"use --fold 0 to {folds - 1}")


def _pooled(manifest: Manifest, folds: int) -> Manifest:
    """With folds, the source's own validation images are spread over the folds, too."""
    if not folds or not manifest.of("val"):
        return manifest
    records = (replace(r, split="train") if r.split == "val" else r for r in manifest.records)
    return manifest.with_records(records, "the validation images of the source join the folds")


def _trainable(manifest: Manifest) -> Manifest:
    """Leave out the classes of which the source has images only in what it holds out."""
    trained = {name for r in manifest.records if r.is_open for name in manifest.names(r)}
    if trained.issuperset(manifest.classes):
        return manifest
    if len(trained) < 2:
        only = f"only class {min(trained)!r} has images" if trained else "there is no image"
        raise TLError(
            f"{only} to train on: the others are held out for validation or test",
            "put images of at least two classes into the training part",
        )
    alien = [name for name in manifest.classes if name not in trained]
    if manifest.task == MULTILABEL:
        return _without_labels(manifest, alien)
    kept = [r for r in manifest.records if r.label in trained]
    images = count(len(manifest.records) - len(kept), "image")
    note = (
        f"{count(len(alien), 'class')} without an image to train on, left out ({images} of"
        f" validation or test): {naming(map(repr, alien))}"
    )
    classes = tuple(name for name in manifest.classes if name in trained)
    return replace(manifest, classes=classes).with_records(kept, note)


def _without_labels(manifest: Manifest, alien: Sequence[str]) -> Manifest:
    """Leave labels out, and keep the images that have them."""
    records = (
        replace(r, label=JOINT.join(n for n in manifest.names(r) if n not in alien))
        for r in manifest.records
    )
    note = (
        f"{count(len(alien), 'label')} without an image to train on, left out: "
        f"{naming(map(repr, alien))}"
    )
    classes = tuple(name for name in manifest.classes if name not in alien)
    return replace(manifest, classes=classes).with_records(records, note)


def _unmeasured(manifest: Manifest, known: Collection[str]) -> Iterator[str]:
    """Say which classes a split lacks, but for those `known` to."""
    for split, purpose in (("val", "validate"), ("test", "test")):
        counts = manifest.counts(split)
        absent = [name for name, n in counts.items() if not n and name not in known]
        if absent and any(counts.values()):
            yield (
                f"{count(len(absent), 'class')} without an image to {purpose} on, so the figures"
                f" there are over the others: {naming(map(repr, absent))}"
            )


def _without_copies(manifest: Manifest) -> Manifest:
    """Remove what has a copy in a split that is held out more."""
    highest: dict[str, int] = defaultdict(int)
    for record in manifest.records:
        content = groups.content(record)
        highest[content] = max(highest[content], HELD_OUT[record.split])
    kept = [r for r in manifest.records if HELD_OUT[r.split] == highest[groups.content(r)]]
    removed = len(manifest.records) - len(kept)
    if not removed:
        return manifest
    whose = count(removed, "image")
    note = f"{whose} left out of training or validation: exact copies of held-out images"
    return manifest.with_records(kept, note)
