"""What a training that is cut off goes on from: its state after an epoch, in a file of the run.

A file is one .npz: arrays, each once, under the digest of its content, and which of them make the
state, as JSON. What equals the weights at the start is not written, for they are there again when
the run goes on. Nothing is pickled. Knows nothing of what a state means.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tl_cli import __version__
from tl_cli.engine.finetune.state import FitState
from tl_cli.store import resume
from tl_cli.store.run_dir import RunDir

KEPT = 2  # the last one, and the one before, should the last one be damaged
FACTS = "facts"  # the member of a file that holds the JSON
NAME = "epoch-{:04d}.npz"
DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile)


@dataclass
class Checkpoints:
    """The states of one training in a run; without a run, none are kept."""

    run: RunDir | None = None
    _known: dict[str, np.ndarray] = field(default_factory=dict)  # the weights at the start

    def begin(self, *start: Sequence[np.ndarray]) -> FitState | None:
        """Note the weights at the start; return the last state that follows from them, if any.

        A state that is damaged, that another version wrote, or that follows from other weights is
        passed over.
        """
        if self.run is None:
            return None
        self._known = {digest(array): array for group in start for array in group}
        for path in reversed(self._files()):
            try:
                return self._read(path)
            except DAMAGED:
                continue
        return None

    def save(self, state: FitState) -> None:
        """Write a state as a whole or not at all; of those before, one stays."""
        if self.run is None:
            return
        facts, groups = state.parts()
        named = {name: [(digest(a), a) for a in group] for name, group in groups.items()}
        arrays = {key: a for group in named.values() for key, a in group if key not in self._known}
        keys = {name: [key for key, _ in group] for name, group in named.items()}
        text = json.dumps({"versions": versions(), "facts": facts, "arrays": keys})
        arrays[FACTS] = np.frombuffer(text.encode(), np.uint8)
        name = NAME.format(state.best.last_epoch)
        with self.run.replacing(f"{resume.FOLDER}/{name}") as beside, beside.open("wb") as file:
            _write(file, arrays)
        for path in self._files()[:-KEPT]:
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        assert self.run
        return sorted((self.run / resume.FOLDER).glob(NAME.format(0).replace("0000", "*")))

    def _read(self, path: Path) -> FitState:
        """Return the state in a file. Raises one of DAMAGED."""
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            told = json.loads(file[FACTS].tobytes())
            if told["versions"] != versions():
                raise ValueError("another version wrote it")
            arrays = self._known | dict(_whole(file))
        groups = {name: [arrays[key] for key in keys] for name, keys in told["arrays"].items()}
        return FitState.of(told["facts"], groups)


NONE = Checkpoints()


def _write(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write what `numpy.savez` would, and nothing that would have to be pickled."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _whole(file: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a file's arrays. Raises ValueError for one that is not what it was."""
    for key in file:
        if key == FACTS:
            continue
        array = file[key]
        if digest(array) != key:
            raise ValueError("it is damaged")
        yield key, array


def digest(array: np.ndarray) -> str:
    """Return what names an array: its type, shape and content."""
    digest = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def versions() -> dict[str, Any]:
    """Return what must be the same for a state to mean the same."""
    return {"tl": __version__, **{name: version(name) for name in ("keras", "tensorflow")}}
