"""Which images a checkpoint was fitted to, and what was said of the held-out ones before that.

A head that was refit has seen the validation images too: their honest figures are those that were
kept from before. Knows nothing of networks.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tl_cli.data import digests, duplicates
from tl_cli.data.csv_io import read_csv
from tl_cli.data.manifest import Manifest, Record
from tl_cli.engine.networks.classifier import describe
from tl_cli.errors import TLError
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir


@dataclass(frozen=True)
class FittedImages:
    """By digest: the training images, and probabilities [C] of the validation images."""

    trained: frozenset[str] = frozenset()
    images: tuple[Record, ...] = ()  # those that the saved network was fitted to in the end
    held_out: Mapping[str, np.ndarray] = field(default_factory=dict)
    validation: tuple[Record, ...] = ()
    refit: bool = False  # whether the head was fitted to the validation images in the end

    def trained_on(self, records: Sequence[Record]) -> np.ndarray:
        """Return which records were trained on, bool [n]."""
        return np.array([record.digest in self.trained for record in records], bool)

    def nearly(self, records: Sequence[Record]) -> np.ndarray:
        """Return which records, not fitted to themselves, look like one that was, bool [n]."""
        own = {record.digest for record in self.images}
        marked = {record.near for record in self.images if record.near}
        alike = duplicates.near_copies(records, self.images)
        near = [r.digest in alike or r.near in marked for r in records]
        return np.array(near, bool) & np.array([r.digest not in own for r in records], bool)

    def known(self, records: Sequence[Record]) -> np.ndarray:
        """Return of which records there are held-out probabilities, bool [n]."""
        return np.array([record.digest in self.held_out for record in records], bool)


def load(run: RunDir) -> FittedImages:
    """Return what a run was fitted to; nothing where its manifest is gone.

    Raises TLError where the head was refit and the held-out probabilities are gone or damaged.
    """
    try:
        manifest = read_csv(run / run_dir.MANIFEST)
    except (TLError, OSError):
        return FittedImages()
    trained = frozenset(record.digest for record in manifest.of("train") if record.digest)
    images, refit = _fitted(run, manifest)
    validation = tuple(manifest.of("val"))
    if not refit and not (run / run_dir.HELD_OUT).is_file():
        return FittedImages(trained, images, validation=validation)
    names = [record.digest for record in validation]
    held_out = dict(zip(names, _rows(run, len(names)), strict=True))
    return FittedImages(trained, images, held_out, validation, refit)


def _fitted(run: RunDir, manifest: Manifest) -> tuple[tuple[Record, ...], bool]:
    """Return the images that the saved network was fitted to, and whether validation is among."""
    refit = bool(describe(run).get("refit"))
    splits = ("train", *(("val",) * refit))
    return tuple(record for record in manifest.records if record.split in splits), refit


class Met:
    """Counts which image files are ones that a checkpoint was fitted to, as they are read."""

    def __init__(self, run: RunDir | None = None) -> None:
        self.found: list[str] = []  # digests; several threads add to it
        self._known = _digests(run) if run else frozenset()

    def look(self, file: io.BufferedReader | io.BytesIO) -> None:
        """Note whether a file that was just opened is one of them; it is left at its start."""
        if self._known and (digest := digests.of_file(file)) in self._known:
            self.found.append(digest)
        file.seek(0)


def _digests(run: RunDir) -> frozenset[str]:
    """Return the digests of all images a checkpoint was fitted to; none where that is not told."""
    try:
        images, _ = _fitted(run, read_csv(run / run_dir.MANIFEST))
    except (TLError, OSError):
        return frozenset()
    return frozenset(record.digest for record in images if record.digest)


def _rows(run: RunDir, count: int) -> np.ndarray:
    path = run / run_dir.HELD_OUT
    try:
        # mapped: an array that is said to be larger than its file is refused, not made room for
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # whatever a damaged file makes numpy raise
        raise TLError(
            f"{path} is damaged or gone: it holds what was said of the validation images before "
            "the head was fitted to them too",
            "train again, or evaluate on other images with --data",
        ) from error
    array = isinstance(rows, np.ndarray)  # of an archive under this name it is not
    if not array or rows.ndim != 2 or len(rows) != count or rows.dtype.kind != "f":
        raise TLError(f"{path} does not belong to this run's manifest.csv", "train again")
    return rows.astype("float32")
