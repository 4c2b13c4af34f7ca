"""How figures and decisions are said to people, on the terminal and in a report alike. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``8.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )


def decision(plan: Mapping[str, Any]) -> str:
    """Return what a plan (its JSON) does, in a clause."""
    ratio = plan["freeze_ratio"]
    return {
        "head": "freeze the whole backbone, train the head only",
        "partial": f"freeze the first {ratio:.0%} of the layers, train the rest and the head",
        "full": "freeze nothing, train everything",
        "scratch": "train everything from random weights",
    }[plan["strategy"]]


KEPT = {  # by the name of what may be kept after a tuning
    "head": "the solved head on the frozen backbone",
    "solved again": "the tuned network, its head solved again",
}


def saved(kept: str, *, refit: bool) -> str:
    """Return what was saved after a training, in a clause, by the name of what was kept.

    `refit`: whether its head was fitted to the validation images too, in the end.
    """
    clause = KEPT.get(kept, f"what is called '{kept}'")
    together = "; in the end the head was fitted to training and validation images together"
    return clause + together * refit


def size(count: float) -> str:
    """Return bytes as people say them: ``17 MB``."""
    if count < 1000:
        return f"{count:.0f} byte{'' if count == 1 else 's'}"
    power = next((i for i in (1, 2, 3) if count < 999.5 * 1000**i), 4)
    value = count / 1000**power
    return f"{value:.{0 if value >= 99.5 else 1}f} {'kMGT'[power - 1]}B"


def printable(text: str) -> str:
    """Return a name as a terminal takes it: neither broken bytes nor line breaks."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def typed(*words: object) -> str:
    """Return a command as it can be typed or pasted: names with blanks are quoted."""
    return shlex.join(printable(str(word)) for word in words)


def short(path: str) -> str:
    """Return the last two parts of a path, quoted, for a sentence."""
    return repr("/".join(Path(path).parts[-2:]))


def naming(things: Iterable[str], most: int = 3) -> str:
    """Return the first few of some things, and how many more there are."""
    names = list(things)
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def count(n: int, thing: str) -> str:
    """Return ``1 image``, ``1,200 images``, ``2 images of …``."""
    thing, *of = thing.split(" of ")
    plural = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    if thing.endswith(("s", "x", "ch")) and thing != "epoch":
        plural = f"{thing}es"
    return " of ".join([f"{n:,} {thing if n == 1 else plural}", *of])


def percent(share: float, decimals: int = 0) -> str:
    """Return ``90.5 %``; ``100 %`` only where it is all, and ``0 %`` where it is nothing."""
    step = 10.0**-decimals
    value = round(100 * share, decimals)
    if 0 < share < 1:
        value = min(max(value, step), 100 - step)
    return f"{value:.{decimals}f} %"


def roughly(seconds: float) -> str:
    """Return an estimate, no more exact than it is: ``a few seconds``, ``40 s``, ``3 min``."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 55:
        return f"{round(seconds, -1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 10:
        return f"{max(minutes, 1)} min"
    if minutes < 55:
        return f"{round(minutes, -1) if minutes > 20 else 5 * round(minutes / 5)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 10 * 3600 else f"{seconds / 3600:.0f} h"
