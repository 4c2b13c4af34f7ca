"""Reads a legacy PyTorch weights file (`.pth`) without PyTorch, and executes nothing from it.

The format: five pickles (magic number, protocol, system, the tensors as references, the storage
keys), then the storages as raw bytes. Knows nothing of networks.
"""

from __future__ import annotations

import collections
import math
import os
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tl_cli.errors import TLError

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a state dict by name, float32 or int64, in their logical shape.

    Raises TLError where the file is cut short, is no such file, or asks for anything but tensors.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except Exception as error:  # whatever a damaged pickle makes its reader raise
        raise TLError(
            f"the weights file {path} cannot be read: {error}", "reinstall the package it is from"
        ) from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if _Unpickler(file).load() != MAGIC:
        raise ValueError("it is not a legacy PyTorch file")
    for _ in ("protocol", "system"):
        _Unpickler(file).load()
    tensors = _Unpickler(file).load()
    keys = _Unpickler(file).load()
    storages = {ref.key: ref for ref in (t.storage for t in tensors.values())}
    data = {key: _storage(file, storages[key]) for key in keys}
    return {name: ref.array(data[ref.storage.key]) for name, ref in tensors.items()}


def _storage(file: BinaryIO, ref: _Storage) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    left = os.fstat(file.fileno()).st_size - file.tell()
    if count != ref.count or count * ref.dtype.itemsize > left:
        raise ValueError("it is cut short")
    raw = file.read(count * ref.dtype.itemsize)
    return np.frombuffer(raw, ref.dtype)


class _Storage:
    def __init__(self, dtype: np.dtype, key: str, count: int) -> None:
        self.dtype, self.key, self.count = dtype, key, count


class _Tensor:
    """A view of a storage. Tensors need not be contiguous, so the strides count."""

    def __init__(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self, data: np.ndarray) -> np.ndarray:
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        outside = last >= len(data) or min((self.offset, *self.strides, *self.shape)) < 0
        if outside or math.prod(self.shape) > len(data):  # strides of 0 make much of little
            raise ValueError("a tensor lies outside its storage")
        steps = [s * data.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(data[self.offset :], self.shape, steps)
        return np.ascontiguousarray(view).reshape(self.shape)


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    """Knows four names and refuses every other one, so that nothing of the file is executed."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, *_ = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("it holds something that is not a storage")
        return _Storage(dtype, key, count)
