"""Which image is trained on, validated on, tested on: decided by a hash, never by the order. Pure.

Knows nothing of files; the content's digest is all it needs. Each image is decided by itself, so
images that are added later move no other.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tl_cli.data.manifest import Manifest, Record, count, naming
from tl_cli.errors import TLError

HELD_OUT = {"": 0, "train": 0, "val": 1, "test": 2}  # a copy stays where it is held out the most

Keys = dict[str, str]  # digest -> the key that all images which must not part have in common


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

    A split of the source is kept; what it lacks is taken from train: a share `test` of the images,
    and of the rest a share such that `val` of all are validation (or part `fold` of `folds` equal
    parts). Images of one group, and exact copies, never part. A copy of a held-out image is removed
    from where it would be trained on, unless `keep_duplicates`. Raises TLError for shares out of
    range and for a class with too few images to be trained and validated on.
    """
    _check(val, test, folds, fold)
    manifest = _pooled(manifest, folds)
    if not keep_duplicates:
        manifest = _without_copies(manifest)
    given = {r.split for r in manifest.records}
    draw = _Draw(
        seed=seed,
        test=0.0 if "test" in given else test,
        val=0.0 if "val" in given else val / (1.0 if "test" in given else 1 - test),
        folds=folds,
        fold=fold,
    )
    key_of = _keys(manifest.records)
    keys = [key_of[_own(r)] for r in manifest.records]
    open_ = [key for key, r in zip(keys, manifest.records, strict=True) if _is_open(r)]
    splits = {key: draw.split(key) for key in open_}
    notes = _mend(manifest, keys, splits, draw)
    decided = (
        replace(r, split=splits[key]) if _is_open(r) else r
        for key, r in zip(keys, manifest.records, strict=True)
    )
    return manifest.with_records(decided, *notes)


def limit(
    manifest: Manifest, n: int | None = None, per_class: int | None = None, seed: int = 0
) -> Manifest:
    """Return a stratified subset: `n` images in all, or at most `per_class` of each class.

    Images of a test split are neither counted nor left out, so that results stay comparable. The
    order is that of a hash, so a smaller subset lies within a larger one. Every class (and its
    validation part, where it has one) stays. Raises TLError where `n` is too small for that.
    """
    pool = [r for r in manifest.records if r.split != "test"]
    if per_class is not None:
        own = ([r for r in pool if r.label == label] for label in manifest.classes)
        pool = [r for records in own for r in _stratified(records, per_class, seed)]
    if n is not None:
        pool = _stratified(pool, n, seed)
    kept = {id(r) for r in pool}
    records = [r for r in manifest.records if r.split == "test" or id(r) in kept]
    if len(records) == len(manifest.records):
        return manifest
    note = f"limited to {len(records):,} of {len(manifest.records):,} images"
    return manifest.with_records(records, note)


def _stratified(records: Sequence[Record], n: int, seed: int) -> list[Record]:
    """Return the first `n` records in an order in which each stratum's share is steady."""
    strata = defaultdict(list)
    for record in records:
        strata[record.label, record.split].append(record)
    least = 1 if any(r.split == "val" for r in records) else 2  # to train and to validate on
    needed = sum(min(least, len(own)) for own in strata.values())
    if n < needed:
        raise TLError(
            f"a limit of {n} images is too small for {count(len({s for s, _ in strata}), 'class')}",
            f"the least is {needed}",
        )
    order = []
    for own in strata.values():
        own.sort(key=lambda r: (_chance(seed, "limit", _own(r)), r.path))
        order += [(i >= least, (i + 0.5) / len(own), r) for i, r in enumerate(own)]
    order.sort(key=lambda place: place[:2])
    return [record for _, _, record in order[:n]]


@dataclass(frozen=True)
class _Draw:
    """How a key's split is drawn."""

    seed: int
    test: float
    val: float
    folds: int
    fold: int

    def split(self, key: str) -> str:
        """Return the split of one key; it depends on no other key."""
        if _chance(self.seed, "test", key) < self.test:
            return "test"
        chance = self.rank(key)
        held_out = int(chance * self.folds) == self.fold if self.folds else chance < self.val
        return "val" if held_out else "train"

    def rank(self, key: str) -> float:
        """Return where a key stands among those that may be validated on."""
        return _chance(self.seed, "val", key)

    @property
    def validates(self) -> bool:
        """Whether there is a validation part to draw."""
        return bool(self.folds) or self.val > 0


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


def _without_copies(manifest: Manifest) -> Manifest:
    """Remove what has a copy in a split that is held out more."""
    highest: dict[str, int] = defaultdict(int)
    for record in manifest.records:
        highest[_own(record)] = max(highest[_own(record)], HELD_OUT[record.split])
    kept = [r for r in manifest.records if HELD_OUT[r.split] == highest[_own(r)]]
    removed = len(manifest.records) - len(kept)
    if not removed:
        return manifest
    whose = count(removed, "image")
    note = f"{whose} left out of training or validation: exact copies of held-out images"
    return manifest.with_records(kept, note)


def _is_open(record: Record) -> bool:
    return record.split not in ("val", "test")


def _own(record: Record) -> str:
    return record.digest or record.path


def _chance(seed: int, salt: str, key: str) -> float:
    """Return a number in [0, 1) that depends on nothing else."""
    text = f"{seed}:{salt}:{key}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) / 2.0**64


def _keys(records: Iterable[Record]) -> Keys:
    """Return the key of each digest: its group, or itself; groups that share a copy are joined."""
    parent: Keys = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for record in records:
        own = root(_own(record))
        if record.group:
            first, second = sorted((root(f"group {record.group}"), own), reverse=True)
            # A group's name outranks a digest: it stays when its first image goes.
            parent[second] = first
    return {name: root(name) for name in list(parent)}


def _mend(
    manifest: Manifest, keys: Sequence[str], splits: dict[str, str], draw: _Draw
) -> tuple[str, ...]:
    """Give each class a training and a validation image where chance gave it none; say so."""
    own: dict[str, dict[str, None]] = {name: {} for name in manifest.classes}
    for key, record in zip(keys, manifest.records, strict=True):
        if _is_open(record):
            own[record.label][key] = None
    moved, whole = [], []
    for label in manifest.classes:
        records = [r for r in manifest.records if r.label == label and _is_open(r)]
        _check_class(label, records, draw)
        if len(own[label]) == 1 and draw.validates:
            splits[next(iter(own[label]))] = "train"
            whole.append(repr(label))
            continue
        ranked = sorted(own[label], key=draw.rank)
        for lacking in ("train", "val") if draw.validates else ("train",):
            if _move(ranked, lacking, splits):
                moved.append(f"{label!r} ({lacking})")
    return _told(moved, whole)


def _move(ranked: Sequence[str], lacking: str, splits: dict[str, str]) -> bool:
    """Move the first of a class's keys into a split in which the class has none."""
    have = Counter(splits[key] for key in ranked)
    if have[lacking]:
        return False
    other = "val" if lacking == "train" else "train"
    giving = other if have[other] >= 2 else "test"
    key = next((key for key in ranked if splits[key] == giving), ranked[0])
    splits[key] = lacking
    return True


def _check_class(label: str, records: Sequence[Record], draw: _Draw) -> None:
    if not records:
        raise TLError(
            f"class {label!r} has no image to train on",
            "add images of it to the training part, or remove the class",
        )
    if draw.validates and len({_own(r) for r in records}) == 1:
        only = "one image" if len(records) == 1 else f"{len(records)} copies of one image"
        raise TLError(
            f"class {label!r} has only {only}, which cannot be both trained and validated on",
            "add images of it, or remove the class",
        )


def _told(moved: Sequence[str], whole: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if moved:
        notes.append(
            "too few images to be split by chance, so the image with the smallest hash was moved,"
            f" for {count(len(moved), 'class')}: {naming(moved)}"
        )
    if whole:
        notes.append(
            f"{count(len(whole), 'class')} with only one group, trained on and not validated:"
            f" {naming(whole)}"
        )
    return tuple(notes)
