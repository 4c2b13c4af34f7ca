"""Which split the name of a folder means: ``Training``, ``seg_train``, ``02-test-data``."""

from __future__ import annotations

import re

SPLIT_FOLDERS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
WORDS = {
    **SPLIT_FOLDERS,
    **dict.fromkeys(("training", "trn"), "train"),
    **dict.fromkeys(("validate", "validating", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("testing", "tst", "holdout", "heldout"), "test"),
}
FILLERS = frozenset(
    {"set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs"}
    | {"picture", "pictures", "photo", "photos", "seg", "split", "folder", "dir", "files"}
    | {"samples", "cropped", "resized", "original", "classes", "by", "class"}
)
_WORD = "|".join(sorted(WORDS, key=len, reverse=True))
_GLUED = re.compile(rf"({_WORD})(?:set|sets|data|dataset|images|imgs)")


def split_of(name: str) -> str:
    """Return "train", "val" or "test", or "" for a name that means no split."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    spaced = re.sub(r"\bh(old|eld)[\W_]+out\b", r"h\1out", spaced.replace("_", " "))
    words = [w for w in re.split(r"[\W\d_]+", spaced) if w and w not in FILLERS]
    if len(words) != 1:
        return ""
    glued = _GLUED.fullmatch(words[0])
    return WORDS.get(glued[1] if glued else words[0], "")


def is_filler(name: str) -> bool:
    """Whether a name says nothing of what the images show: ``images``, ``dataset_2``."""
    return all(w in FILLERS for w in re.split(r"[\W\d_]+", name.lower()) if w)
