"""What a .weights.h5 holds, looked at before anything of it is read, and its numbers afterwards.

HDF5 may name other files, declare arrays of any size in a few bytes, and unpack one chunk into
gigabytes. Nothing of that is a network's weights. Knows nothing of cards and heads.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np

from tl_cli.errors import TLError
from tl_cli.store import reading

MOST_OBJECTS = 100_000  # groups and arrays; the largest network of the catalog has about 1,000
DEEPEST = 50  # groups in groups
UNREAD = "optimizer"  # a group that is not read into a network that is not compiled
CHUNK = 1_000_000  # numbers that a chunk may hold beyond those of its array
ATTRIBUTE = 1_000_000  # numbers or names in one attribute
LINKS = {h5py.SoftLink: "a soft link", h5py.ExternalLink: "a link to another file"}


def load_weights(model: keras.Model, path: Path) -> None:
    """Load a .weights.h5 into the model, nothing of which is executed or taken from elsewhere.

    Raises TLError where it is missing, does not fit, or holds what is not a finite number.
    """
    reading.check_weights(path)
    try:
        _check_layout(model, path)
        with warnings.catch_warnings():
            # Keras only warns of layers that it found no weights for and left random
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except Exception as error:  # whatever a damaged file makes HDF5 and Keras raise
        first = str(error).strip().split("\n")[0]
        raise TLError(
            f"the weights file {path} does not fit this network, or is damaged: {first}"
        ) from error
    _check_numbers(model, path)


def _check_layout(model: keras.Model, path: Path) -> None:
    """Raise ValueError where the file holds anything but arrays of the network's own shapes."""
    room = Counter(tuple(variable.shape) for variable in model.variables)
    with h5py.File(path, "r") as file:
        for place, array in _arrays(file):
            _check_array(place, array)
            room[array.shape] -= 1
            if room[array.shape] < 0:
                shape = " x ".join(map(str, array.shape)) or "no sides"
                raise ValueError(
                    f"{place} has {array.size:,} numbers ({shape}), which have no place in it"
                )


def _arrays(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield where each array lies and the array, unread; each group is opened once."""
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    opened = 0
    while waiting:
        above, group = waiting.pop()
        _check_attributes(above, group)
        for name in group:
            place = f"{above}/{name}" if above else name
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{place} is {LINKS.get(type(link), 'a link')}")
            if place == UNREAD:
                continue
            opened += 1
            if opened > MOST_OBJECTS or place.count("/") > DEEPEST:
                raise ValueError("it holds far more groups than a network has layers")
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append((place, item))
            elif isinstance(item, h5py.Dataset):
                yield place, item
            else:
                raise ValueError(f"{place} is neither a group nor an array")


def _check_array(place: str, array: h5py.Dataset) -> None:
    _check_attributes(place, array)
    if array.is_virtual or array.external:
        raise ValueError(f"{place} takes its numbers from another file")
    if array.dtype.kind not in "fiub" or array.shape is None:
        raise ValueError(f"{place} does not hold numbers ({array.dtype})")
    if array.chunks and math.prod(array.chunks) > array.size + CHUNK:
        raise ValueError(f"{place} would be unpacked in pieces of {math.prod(array.chunks):,}")


def _check_attributes(place: str, item: h5py.Group | h5py.Dataset) -> None:
    for name in item.attrs:
        if math.prod(item.attrs.get_id(name).shape or ()) > ATTRIBUTE:
            raise ValueError(f"{place or 'the file'} has an attribute that is too large: {name}")


def _check_numbers(model: keras.Model, path: Path) -> None:
    for variable in model.weights:
        numbers = np.asarray(keras.ops.convert_to_numpy(variable.value), dtype="float32")
        negative = variable.path.endswith("moving_variance") and (numbers < 0).any()
        if negative or not np.isfinite(numbers).all():
            what = "a negative variance" if negative else "numbers that are not finite"
            raise TLError(
                f"the weights file {path} holds {what} ({variable.path}): "
                "what such a network says means nothing",
                "train again, or copy the file again",
            )
