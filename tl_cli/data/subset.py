"""Fewer images of a data set, in the same shares: decided by a hash, never by the order. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from tl_cli.data import groups, quantities
from tl_cli.data.draws import chance
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION, Manifest, Record
from tl_cli.errors import TLError
from tl_cli.humanize import count


def limit(
    manifest: Manifest, n: int | None = None, per_class: int | None = None, seed: int = 0
) -> Manifest:
    """Return a stratified subset: `n` images in all, or at most `per_class` of each class.

    Images of a test split are neither counted nor left out, so that results stay comparable. The
    order is that of a hash, so a smaller subset lies within a larger one. Every class (and its
    validation part, where it has one) stays. Raises TLError where `n` is too small for that.
    """
    if manifest.task == REGRESSION:
        return _of_quantity(manifest, n, per_class, seed)
    pool = [r for r in manifest.records if r.split != "test"]
    if manifest.task == MULTILABEL:
        pool = _of_several(manifest, pool, n, per_class, seed)
        n = per_class = None
    if per_class is not None:
        own = ([r for r in pool if r.label == label] for label in manifest.classes)
        pool = [r for records in own for r in _stratified(records, per_class, seed)]
    if n is not None:
        pool = _stratified(pool, n, seed)
    kept = {id(r) for r in pool}
    records = [r for r in manifest.records if r.split == "test" or id(r) in kept]
    if len(records) == len(manifest.records):
        return manifest
    tested = len(records) - len(pool)
    note = f"limited to {len(pool):,} of {count(len(manifest.records) - tested, 'image')}"
    if tested:
        note += f" to train and validate on; all {tested:,} to test on are kept"
    return manifest.with_records(records, note)


def _of_quantity(manifest: Manifest, n: int | None, per_class: int | None, seed: int) -> Manifest:
    """Return images labelled with numbers, as many from each bin of these."""
    if per_class is not None:
        raise TLError("numbers have no classes to limit", "--limit takes so many images in all")
    plain = replace(quantities.binned(manifest), task=CLASSIFICATION)
    few = limit(plain, n, None, seed)
    kept = {record.path for record in few.records}
    records = (record for record in manifest.records if record.path in kept)
    return manifest.with_records(records, *few.notes[len(manifest.notes) :])


def _of_several(
    manifest: Manifest, pool: Sequence[Record], n: int | None, per_class: int | None, seed: int
) -> list[Record]:
    """Return images of several labels in a hash's order: as many as are wanted of any label."""
    order = sorted(pool, key=lambda r: (chance(seed, "limit", groups.content(r)), r.path))
    if per_class is not None:
        have: Counter[str] = Counter()
        kept = []
        for record in order:
            names = manifest.names(record)
            if any(have[name] < per_class for name in names):
                have.update(names)
                kept.append(record)
        order = kept
    return order if n is None else order[:n]


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
        own.sort(key=lambda r: (chance(seed, "limit", groups.content(r)), r.path))
        order += [(i >= least, (i + 0.5) / len(own), r) for i, r in enumerate(own)]
    order.sort(key=lambda place: place[:2])
    return [record for _, _, record in order[:n]]
