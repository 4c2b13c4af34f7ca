"""Classes that are too small for their shares: each has an image to train and to validate on. Pure.

What the hash gave to the splits is changed for them alone, by as little as can be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tl_cli.data import groups
from tl_cli.data.draws import rank
from tl_cli.data.manifest import Manifest, Record
from tl_cli.errors import TLError
from tl_cli.humanize import count, naming


def mend(
    manifest: Manifest, key_of: Sequence[str], splits: dict[str, str], seed: int, validates: bool
) -> tuple[tuple[str, ...], list[str]]:
    """Give each class a training and a validation image where its share gave it none.

    Returns what is to be said of it, and the classes that cannot be validated.
    """
    own: dict[str, dict[str, None]] = {name: {} for name in manifest.classes}
    labels: dict[str, set[str]] = defaultdict(set)
    open_: dict[str, list[Record]] = defaultdict(list)
    for key, record in sorted(zip(key_of, manifest.records, strict=True), key=lambda p: p[0]):
        if record.is_open:
            own[record.label][key] = None
            labels[key].add(record.label)
            open_[record.label].append(record)
    _check_classes({label: open_[label] for label in manifest.classes}, validates)
    whole = [label for label in manifest.classes if len(own[label]) == 1 and validates]
    pinned = {key for label in whole for key in own[label]}
    splits.update(dict.fromkeys(pinned, "train"))

    def spared(key: str, label: str) -> bool:
        """Whether no other class has its only image of that split with this key."""
        return splits[key] == "test" or all(
            sum(splits[k] == splits[key] for k in own[name]) > 1 for name in labels[key] - {label}
        )

    moved = []
    # training last: what moves there takes no other class's training image away
    for lacking in ("val", "train") if validates else ("train",):
        for label in (name for name in manifest.classes if name not in whole):
            free = [key for key in own[label] if key not in pinned]
            if not free or any(splits[key] == lacking for key in own[label]):
                continue
            free.sort(key=lambda key: rank(seed, key))
            needed = [key for key in free if not spared(key, label)]
            splits[_giving(free, needed, lacking, splits)] = lacking
            moved.append(f"{label!r} ({lacking})")
    return _told(moved, list(map(repr, whole))), whole


def _giving(
    ranked: Sequence[str], needed: Sequence[str], lacking: str, splits: dict[str, str]
) -> str:
    """Return which of a class's keys is to move into a split in which the class has none.

    One that the class can spare; rather one that no other class needs where it is; rather from
    where the class has several.
    """
    have = Counter(splits[key] for key in ranked)
    other = "val" if lacking == "train" else "train"
    giving = other if have[other] >= 2 else "test"
    able = [key for key in ranked if splits[key] == "test" or have[splits[key]] >= 2]
    return min(able or ranked, key=lambda key: (key in needed, splits[key] != giving))


def _check_classes(records: Mapping[str, Sequence[Record]], validates: bool) -> None:
    for label, of_class in records.items():
        if not of_class:
            raise TLError(
                f"class {label!r} has no image to train on",
                "add images of it to the training part, or remove the class",
            )
    single = [c for c, rs in records.items() if len({groups.content(r) for r in rs}) == 1]
    if not (single and validates):
        return
    if len(single) > 1:
        copied = sum(len(records[name]) - 1 for name in single)
        also = f" ({count(copied, 'more image')} are exact copies)" if copied else ""
        raise TLError(
            f"{len(single):,} classes have only one image each{also}, which cannot be both "
            f"trained and validated on: {naming(single)}",
            "add images of them, or remove these classes",
        )
    [label] = single
    copies = len(records[label])
    only = "one image" if copies == 1 else f"{copies} copies of one image"
    raise TLError(
        f"class {label!r} has only {only}, which cannot be both trained and validated on",
        "add images of it, or remove the class",
    )


def _told(moved: Sequence[str], whole: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if moved:
        notes.append(
            "too few images for a share of them, so the image with the smallest hash was moved,"
            f" for {count(len(moved), 'class')}: {naming(moved)}"
        )
    if whole:
        notes.append(
            f"{count(len(whole), 'class')} with only one group, trained on and not validated:"
            f" {naming(whole)}"
        )
    return tuple(notes)
