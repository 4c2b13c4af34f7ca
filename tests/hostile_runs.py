"""A run's files with one value in them changed, each in turn: for all that reads runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEEP: Any = None
for _ in range(900):  # what the JSON module still takes
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 0.5, 10**18, 10**400, -1e300, float("nan"), float("inf"), "",
    "\x1b[31m\u202e", "<script>x()</script>", "../../x", "\ud800",
     "9" * 20_000, [], {}, [None], DEEP,
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where in a JSON value something stands; of a long list the first two only."""
    yield at
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value[:2])
    for key, inner in items:
        yield from places(inner, (*at, key))


def changed(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the JSON value with something odd, or nothing, in every place of it, by name."""
    for at in places(value):
        for odd in ODD:
            yield f"{at}: {str(odd)[:20]!r}", _with(value, at, odd)
        if at and isinstance(at[-1], str):
            yield f"{at} lacking", _without(value, at)


def _with(value: Any, at: tuple[Any, ...], odd: Any) -> Any:
    if not at:
        return odd
    other = copy.deepcopy(value)
    _inside(other, at)[at[-1]] = odd
    return other


def _without(value: Any, at: tuple[Any, ...]) -> Any:
    other = copy.deepcopy(value)
    del _inside(other, at)[at[-1]]
    return other


def _inside(value: Any, at: tuple[Any, ...]) -> Any:
    for key in at[:-1]:
        value = value[key]
    return value


TEXTS = {  # of a file of any kind
    "empty": b"",
    "zeros": b"\0" * 1000,
    "no text": b"\xff\xfe\xfd" * 100,
    "deep": b"[" * 200_000,
    "nested": b"a: " + b"[" * 50_000,
    "a number": b"9" * 10_000,
    "an endless cell": b"path,label\n" + b"x" * 1_000_000 + b",a\n",
    "an open quote": b'path,label\n"x,a\n',
    "more cells": b"epoch,loss\n1,2,3,4\n",
    "a bomb": b"a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n",
    "merged": b"a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nc: {<<: [*b, *b]}\n",
    "a tag": b"image_size: !!python/object/apply:os.system ['touch executed']\n",
    "twice": b"image_size: 64\nimage_size: 65\n",
}  # fmt: skip


def dump(path: Path, value: Any) -> None:
    """Write a JSON value, whatever is in it."""
    path.write_text(json.dumps(value), encoding="utf-8", errors="surrogatepass")
