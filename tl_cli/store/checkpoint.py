"""A checkpoint as it lies on disk: its description, checked field by field.

Whoever got a checkpoint from somebody else got these files, so nothing in them is believed. Knows
nothing of networks: whether there is such a backbone and such a block is for whoever builds it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION, TASKS
from tl_cli.errors import TLError
from tl_cli.store.reading import json_of

FORMAT, ONE_LABEL = 2, 1  # one label an image is written so that an older tl opens it
IMAGE_SIZES = (32, 1024)  # pixels, as RunConfig has them
MOST_CLASSES = 100_000
MOST_CENTRES = 100_000  # of a kernel
LONGEST_CLASS = 4096  # characters; a folder's name has 255
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


def describe(path: Path) -> dict[str, Any]:
    """Return what checkpoint.json says; every field that is used has the type and range of CHECKS.

    Raises TLError, in one sentence, where the file is damaged, odd or of a newer tl.
    """
    try:
        described = json_of(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, str(getattr(error, "strerror", None) or "it is not JSON")) from error
    if not isinstance(described, dict):
        raise _damaged(path, "it does not hold a JSON object")
    missing = [name for name in NEEDED if name not in described]
    if missing:
        raise TLError(f"the checkpoint {path} lacks {', '.join(missing)}", AGAIN)
    for name, (check, expected) in CHECKS.items():
        if name in described and not check(described[name]):
            raise _damaged(path, f"{name} must be {expected}")
        if name == "format" and described[name] > FORMAT:
            newer = str(described.get("tl"))[:20]
            raise TLError(
                f"the checkpoint {path} was written by a newer tl ({newer})",
                "pip install --upgrade tl-cli",
            )
    _check_thresholds(path, described)
    if described.get("task") == REGRESSION and len(described["classes"]) != 1:
        raise _damaged(path, "it must name one quantity where numbers are predicted")
    return described


def task_of(path: Path) -> str:
    """Return what the labels of a checkpoint are. Raises TLError as `describe`."""
    return str(describe(path).get("task", CLASSIFICATION))


def require_task(path: Path, tasks: Collection[str]) -> None:
    """Raise TLError where the labels of a checkpoint are not what a command knows."""
    task = task_of(path)
    if task not in tasks:
        raise TLError(f"{path.parent} {DOES[task]}, and this {KNOWS}", KNOWN[task])


def _check_thresholds(path: Path, described: dict[str, Any]) -> None:
    """Raise TLError where several labels an image have not a threshold each."""
    several = described.get("task", CLASSIFICATION) == MULTILABEL
    if len(described.get("thresholds", ())) != several * len(described["classes"]):
        raise _damaged(path, "it must have a threshold for each class where labels are several")


def _is_scale(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 2
    return numbers and all(
        isinstance(n, int | float) and not isinstance(n, bool) and abs(n) < float("inf")
        for n in value
    )


def _is_interval(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"coverage", "radius", "held_out"}
        and _is_share(value["coverage"])
        and isinstance(value["radius"], int | float)
        and not isinstance(value["radius"], bool)
        and 0 <= value["radius"] < float("inf")
        and _is_whole(value["held_out"], 1, 2**53)
    )


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_share(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= 1


def _are_taps(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= 1000
        and all(_is_whole(tap, 1, 10_000) for tap in value)
        and all(a < b for a, b in pairwise(value))
    )


def _are_thresholds(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MOST_CLASSES and all(map(_is_share, value))


def _are_classes(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MOST_CLASSES
        and all(isinstance(name, str) and _is_name(name) for name in value)
        and len(set(value)) == len(value)
    )


def _is_name(name: str) -> bool:
    try:
        name.encode("utf-8", "surrogateescape")  # as names of folders come, which are any bytes
    except UnicodeEncodeError:
        return False
    return len(name) <= LONGEST_CLASS


def _damaged(path: Path, reason: str) -> TLError:
    return TLError(f"the checkpoint {path} is damaged: {reason}", AGAIN)


def _one_of(names: Sequence[str]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: isinstance(value, str) and value in names, " or ".join(names)


# what a run does, and what knows it where that is no class an image
DOES = {
    CLASSIFICATION: "gives an image one class",
    MULTILABEL: "gives an image several labels",
    REGRESSION: "predicts a number",
}
KNOWS = "knows one label an image"
KNOWN = {
    MULTILABEL: "give a run that gives an image one class",
    REGRESSION: "tl suggest knows classes alone, and some options of other commands do",
}
AGAIN = "train again, or copy it again"
NEEDED = ("format", "backbone", "image_size", "taps", "classes")
CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (lambda value: _is_whole(value, 1, 2**31), "a whole number"),
    "backbone": (lambda value: isinstance(value, str), "a name"),
    "image_size": (
        lambda value: _is_whole(value, *IMAGE_SIZES),
        "{} to {} pixels".format(*IMAGE_SIZES),
    ),
    "taps": (_are_taps, "numbers of blocks, each greater than the one before"),
    "classes": (_are_classes, f"1 to {MOST_CLASSES:,} different names"),
    "centres": (
        lambda value: _is_whole(value, 1, MOST_CENTRES),
        f"a whole number from 1 to {MOST_CENTRES:,}",
    ),
    "pooling": (lambda value: isinstance(value, str), "a name"),
    "precision": _one_of(PRECISIONS),
    "task": _one_of(TASKS),
    "scale": (_is_scale, "two numbers"),
    "interval": (_is_interval, "a coverage, a radius and a number of images"),
    "thresholds": (_are_thresholds, "shares from 0 to 1"),
    "refit": (lambda value: isinstance(value, bool), "true or false"),
    "freeze_ratio": (_is_share, "a share from 0 to 1"),
}
