"""Files that are not what they seem, made on the spot: for tests of all that tl reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

GOOD = {"format": 1, "backbone": "efficientnet_lite0", "image_size": 32, "taps": [18],
        "classes": ["a", "b"]}  # fmt: skip


def _with(**change: object) -> str:
    return json.dumps(GOOD | change)


DESCRIPTIONS = {
    "empty": "",
    "no object": "[1, 2]",
    "deep": "[" * 200_000 + "]" * 200_000,
    "huge digits": _with().replace("32", "9" * 10_000),
    "huge number": _with(image_size=10**300),
    "infinity": _with(image_size=float("inf")),
    "not a number": _with(freeze_ratio=float("nan")),
    "huge share": _with(freeze_ratio=10**400),
    "a float for a size": _with(image_size=32.5),
    "truth for a format": _with(format=True),
    "text for a format": _with(format="1"),
    "a newer format": _with(format=99, tl="9" * 1000),
    "no classes": _with(classes=[]),
    "numbers for classes": _with(classes=[1, 2]),
    "one name twice": _with(classes=["a", "a"]),
    "text for classes": _with(classes="ab"),
    "half a character": _with(classes=["a", "\ud800"]),
    "an endless name": _with(classes=["a", "b" * 100_000]),
    "a mapping for taps": _with(taps={"18": 1}),
    "taps backwards": _with(taps=[18, 9]),
    "a tap before the first": _with(taps=[-1, 18]),
    "a list for a backbone": _with(backbone=["efficientnet_lite0"]),
    "an unhashable pooling": _with(pooling={}),
    "an unknown precision": _with(precision="float7"),
    "text for refit": _with(refit="no"),
}


class Executes:
    """Unpickled, it makes the file `mark`."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def _first(file: h5py.File) -> h5py.Dataset:
    """Return an array of the file that is not a scalar."""
    seen: list[h5py.Dataset] = []
    file.visititems(
        lambda _, item: seen.append(item) if isinstance(item, h5py.Dataset) and item.ndim else None
    )
    return seen[0]


def _replaced(file: h5py.File, **made: object) -> h5py.Dataset:
    name = _first(file).name
    del file[name]
    return file.create_dataset(name, **made)


def _soft(file: h5py.File) -> None:
    name = _first(file).name
    del file[name]
    file[name] = h5py.SoftLink("/layers")


def _external(file: h5py.File) -> None:
    name = _first(file).name
    del file[name]
    file[name] = h5py.ExternalLink("/etc/passwd", "/x")


def _virtual(file: h5py.File) -> None:
    array = _first(file)
    name, shape = array.name, array.shape
    del file[name]
    layout = h5py.VirtualLayout(shape=shape, dtype="f4")
    layout[...] = h5py.VirtualSource("/tmp/other.h5", "x", shape=shape)
    file.create_virtual_dataset(name, layout)


def _elsewhere(file: h5py.File) -> None:
    shape = _first(file).shape
    size = 4 * int(np.prod(shape))
    _replaced(file, shape=shape, dtype="f4", external=[("/etc/passwd", 0, size)])


def _bomb(file: h5py.File) -> None:
    shape = _first(file).shape
    chunks = (*shape[:-1], 2**28)
    _replaced(file, shape=shape, maxshape=(*shape[:-1], None), chunks=chunks, dtype="f4",
              compression="gzip")  # fmt: skip


def _loop(file: h5py.File) -> None:
    file["layers/loop"] = file["layers"]


def _text(file: h5py.File) -> None:
    shape = _first(file).shape
    _replaced(file, shape=shape, dtype=h5py.string_dtype())


def _filled(value: float) -> Callable[[h5py.File], None]:
    def fill(file: h5py.File) -> None:
        array = _first(file)
        array[...] = np.full(array.shape, value)

    return fill


WEIGHTS: dict[str, Callable[[h5py.File], object]] = {
    "gigantic": lambda file: _replaced(file, shape=(10**9, 1280), dtype="f8"),
    "gigantic and packed": lambda file: _replaced(
        file, shape=(10**9, 1280), dtype="f4", chunks=(1000, 1280), compression="gzip"
    ),
    "of another shape": lambda file: _replaced(file, data=np.zeros((2, 3, 5))),
    "soft link": _soft,
    "link to another file": _external,
    "virtual": _virtual,
    "numbers elsewhere": _elsewhere,
    "one chunk of gigabytes": _bomb,
    "a group in itself": _loop,
    "text": _text,
    "nan": _filled(np.nan),
    "infinite": _filled(np.inf),
    "cut": lambda file: None,
}


def wreck(path: Path, name: str) -> None:
    """Make whole weights into those of a row of WEIGHTS."""
    with h5py.File(path, "r+") as file:
        WEIGHTS[name](file)
    if name == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
