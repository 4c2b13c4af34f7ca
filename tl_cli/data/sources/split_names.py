"""Which split the name of a folder means: ``Training``, ``seg_train``, ``02-test-data``. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

SPLIT_FOLDERS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
WORDS = {
    **SPLIT_FOLDERS,
    **dict.fromkeys(("training", "trn", "trainval"), "train"),
    **dict.fromkeys(("validate", "validating", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("testing", "tst", "holdout", "heldout"), "test"),
}
FILLERS = frozenset(
    {"set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs"}
    | {"picture", "pictures", "pic", "pics", "photo", "photos", "seg", "split", "splits"}
    | {"folder", "dir", "files", "samples", "cropped", "resized", "original", "classes", "by"}
    | {"class", "jpg", "jpeg", "png", "jpegs", "pngs", "rgb", "input", "inputs"}
)
BESIDE_A_SPLIT = FILLERS | {"x", "my", "new", "raw", "only", "full", "all", "final", "small"}
_WORD = "|".join(sorted(WORDS, key=len, reverse=True))
_GLUED = re.compile(rf"({_WORD})(?:set|sets|data|dataset|images|image|imgs|img|split|folder)")


def split_of(name: str) -> str:
    """Return "train", "val" or "test", or "" for a name that means no split."""
    split, others = parted(name)
    return "" if others else split


def parted(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the split that a name speaks of, or "", and its other words: ``flowers_train``.

    Words such as ``images`` and numbers count as none.
    """
    words = [w for w in _words(name) if w not in BESIDE_A_SPLIT]
    meant = {word: _meant(word) for word in words}
    splits = {split for split in meant.values() if split}
    others = tuple(word for word in words if not meant[word])
    return (splits.pop(), others) if len(splits) == 1 else ("", tuple(words))


def splits_of(names: Sequence[str]) -> dict[str, str]:
    """Return the splits that the names of folders side by side mean, by name.

    Where none is a split's usual name, those that are one but for words in common are:
    ``flowers_train`` and ``flowers_test``.
    """
    usual = {name: split for name in names if (split := split_of(name))}
    if usual:
        return usual
    families = _families(names)
    return next(iter(families.values())) if len(families) == 1 else {}


def mixed(names: Sequence[str]) -> bool:
    """Whether names say both split and class: ``train_cat``, ``train_dog``, ``test_cat``, ..."""
    every = all(split and others for split, others in map(parted, names))
    return every and len({parted(name)[1] for name in names}) > 1 and bool(_families(names))


def is_filler(name: str) -> bool:
    """Whether a name says nothing of what the images show: ``images``, ``dataset_2``."""
    words = _words(name)
    return bool(words) and all(word in FILLERS for word in words)


def _families(names: Iterable[str]) -> dict[tuple[str, ...], dict[str, str]]:
    """Return names of more than one split, training among them, by the words that they share."""
    families: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        split, others = parted(name)
        if split and others:
            families[others][name] = split
    return {others: own for others, own in families.items() if {"train"} < set(own.values())}


def _meant(word: str) -> str:
    glued = _GLUED.fullmatch(word)
    return WORDS.get(glued[1] if glued else word, "")


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower().replace("_", " ")
    spaced = re.sub(r"\bh(old|eld)[\W_]+out\b", r"h\1out", spaced)
    spaced = re.sub(r"\btrain[\W_]+val(id)?\b", "trainval", spaced)
    return [word for word in re.split(r"[\W\d_]+", spaced) if word]
