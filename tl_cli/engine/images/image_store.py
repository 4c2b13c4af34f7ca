"""Each image decoded once, to uint8 at one size: in memory, in a file of the cache, or streamed.

Knows nothing of labels, batches and augmentation.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_cli.data import digests, pixel_cache
from tl_cli.data.decode import fault_of, open_rgb, squash
from tl_cli.data.digests import CHANGED_SINCE_THE_SCAN
from tl_cli.data.manifest import Record
from tl_cli.errors import TLError
from tl_cli.humanize import short
from tl_cli.machine import available_memory, cores
from tl_cli.store import about_entry, cache, cache_folder
from tl_cli.store.rows import Table

MEMORY_SHARE = 0.25
# Rows decoded between two writes and two calls of on_progress.
CHUNK = 128

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImageStore:
    """Images as uint8 [n, size, size, 3]; `place` is "memory", "disk" or "streamed"."""

    shape: tuple[int, int, int, int]
    place: str
    take: Callable[[np.ndarray], np.ndarray]  # rows int [b] -> uint8 [b, size, size, 3]
    path: Path | None = None  # the folder in which a later run finds them again

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.take(rows)

    def describe(self) -> str:
        """Return one sentence for the user: how much, and where it is kept."""
        n, size = self.shape[:2]
        what = f"{n:,} images at {size} px ({_gigabytes(nbytes(n, size))})"
        return {
            "memory": f"{what} are held in memory",
            "disk": f"{what} are read from the cache: {self.path}",
            "streamed": f"{what} are decoded anew in every epoch: there is no room for them",
        }[self.place]


def store(
    records: Sequence[Record],
    size: int,
    *,
    memory: int | None = None,
    disk: int | None = None,
    on_progress: Progress | None = None,
    exact: bool = False,
) -> ImageStore:
    """Decode every image once to size x size and keep the result for this run and later ones.

    Images that are kept already, by a scan or another data set, are not decoded. `memory`: bytes
    that may be held in RAM (None: a quarter of what is available). `disk`: bytes that this data
    set may take in the cache folder (None: the cache's own bound). What exceeds both is decoded on
    demand. `on_progress(done, total)` counts images. Raises TLError naming an image that can no
    longer be read, or, with `exact`, that has other bytes than its digest says: whatever is kept
    on disk under that digest is to be made so.
    """
    shape = (len(records), size, size, 3)
    memory = int(MEMORY_SHARE * available_memory()) if memory is None else memory
    table = _table(records, size)
    if table:
        table.check([record.digest for record in records])
        try:
            _fill(table, records, size, disk, on_progress)
        except OSError as error:  # a full disk, a read-only home
            cache_folder.trouble(error)
    order, kept_rows = _found(records, size, table)
    take = _taker(records, size, order, kept_rows, exact)
    lacking = bool((order < 0).any())
    path = table.folder if table and not lacking else None
    if math.prod(shape) <= memory:
        rows = _collected(shape, take, on_progress) if lacking else take(np.arange(len(records)))
        return ImageStore(shape, "memory", lambda chosen: rows[np.asarray(chosen)], path)
    return ImageStore(shape, "streamed" if lacking else "disk", take, path)


def nbytes(n: int, size: int) -> int:
    """Return the bytes that n images take."""
    return n * size * size * 3


def pixels(record: Record, size: int, *, exact: bool = False) -> np.ndarray:
    """Return one image as uint8 [size, size, 3]; see `store`. Raises TLError."""
    try:
        with digests.unchanged(record) if exact else contextlib.nullcontext():
            return np.asarray(squash(open_rgb(record, size), size))
    except TLError as error:
        raise TLError(error.message, CHANGED_SINCE_THE_SCAN) from error
    except Exception as error:  # while it was compared with its digest
        reason = fault_of(record.path, error)
        raise TLError(f"{short(record.path)} {reason}", CHANGED_SINCE_THE_SCAN) from error


def _table(records: Sequence[Record], size: int) -> Table | None:
    """Return the table in which these images may be kept; None where there is none to be had."""
    # an image without a digest could not be told from another one, so it is not kept
    if not records or not all(record.digest for record in records):
        return None
    try:
        return pixel_cache.table(size)
    except OSError as error:
        cache_folder.trouble(error)
        return None


def _fill(
    table: Table,
    records: Sequence[Record],
    size: int,
    disk: int | None,
    on_progress: Progress | None,
) -> None:
    """Decode what the table lacks, unless the data set takes more bytes than it may."""
    lacking = {r.digest for r in records} - table.index.keys()
    if not (lacking and cache_folder.takes_more()):
        return
    bound = cache.bound()
    if nbytes(len(records), size) > (bound if disk is None else disk):
        return
    if nbytes(len(table.index) + len(lacking), size) > bound:
        cache.remove(table.folder)  # the rest is of other data sets
    with table.writing() as append:
        # another run may have written while this one waited for its turn
        todo = list({r.digest: r for r in records if r.digest not in table.index}.values())
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(todo), CHUNK):
                chunk = todo[start : start + CHUNK]
                rows = _together(pool, chunk, size, exact=True)
                append([r.digest for r in chunk], rows.reshape(len(chunk), -1))
                if on_progress:
                    on_progress(start + len(chunk), len(todo))
    about_entry.note(table.folder, about_entry.data_of(record.path for record in records))
    cache.tidy(keep=[table.folder])


def _found(
    records: Sequence[Record], size: int, table: Table | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each record which of the rows is its own, or -1, and the rows, mapped."""
    with contextlib.suppress(OSError):  # evicted a moment ago
        if table:
            return table.find([record.digest for record in records])
    return np.full(len(records), -1), np.empty((0, nbytes(1, size)), np.uint8)


def _taker(
    records: Sequence[Record], size: int, order: np.ndarray, kept_rows: np.ndarray, exact: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives any images: those that have a row from disk, the others decoded."""
    pool = ThreadPoolExecutor(cores())

    def take(chosen: np.ndarray) -> np.ndarray:
        chosen = np.asarray(chosen, "int64")
        at = order[chosen]
        has = at >= 0
        if has.all():
            return kept_rows[at].reshape(-1, size, size, 3)
        rows = np.empty((len(chosen), size, size, 3), np.uint8)
        rows[has] = kept_rows[at[has]].reshape(-1, size, size, 3)
        rows[~has] = _together(pool, [records[i] for i in chosen[~has]], size, exact=exact)
        return rows

    return take


def _collected(
    shape: tuple[int, int, int, int],
    take: Callable[[np.ndarray], np.ndarray],
    on_progress: Progress | None,
) -> np.ndarray:
    """Return all images, some of which are decoded."""
    rows = np.empty(shape, np.uint8)
    for start in range(0, len(rows), CHUNK):
        chosen = np.arange(start, min(start + CHUNK, len(rows)))
        rows[chosen] = take(chosen)
        if on_progress:
            on_progress(start + len(chosen), len(rows))
    return rows


def _together(
    pool: ThreadPoolExecutor, records: Sequence[Record], size: int, *, exact: bool
) -> np.ndarray:
    """Decode images in the pool's threads, each into its row: uint8 [c, size, size, 3]."""
    rows = np.empty((len(records), size, size, 3), np.uint8)

    def fill(part: range) -> None:
        for i in part:
            rows[i] = pixels(records[i], size, exact=exact)

    # of tiny images, handing one over takes as long as decoding it
    each = max(1, min(8, len(records) // (4 * cores())))
    starts = range(0, len(records), each)
    for _ in pool.map(lambda i: fill(range(len(records))[i : i + each]), starts):
        pass  # raises what a thread raised
    return rows


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
