"""Each image decoded once, to uint8 at one size: in memory, in a file of the cache, or streamed.

Knows nothing of labels, batches and augmentation.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from tl_cli import cache
from tl_cli.errors import TLError
from tl_cli.manifest.images import open_rgb
from tl_cli.manifest.records import Record

# Raise it whenever the same file would give other pixels: older stores are then not found.
DECODE_VERSION = 1
KIND = "images"
CHANGED_SINCE_THE_SCAN = "it changed since the scan: run the command again"
MEMORY_SHARE = 0.25
CGROUP = Path("/sys/fs/cgroup")
# Rows decoded between two writes and two calls of on_progress.
CHUNK = 128

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImageStore:
    """Images as uint8 [n, size, size, 3]; `place` is "memory", "disk" or "streamed"."""

    shape: tuple[int, int, int, int]
    place: str
    take: Callable[[np.ndarray], np.ndarray]  # rows int [b] -> uint8 [b, size, size, 3]
    path: Path | None = None  # the file that a later run finds again
    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)

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
) -> ImageStore:
    """Decode every image once to size x size and keep the result for this run and later ones.

    `memory`: bytes that may be held in RAM (None: a quarter of what is available). `disk`: bytes
    that one store may take in the cache folder (None: the cache's own bound). What exceeds both is
    decoded on demand. `on_progress(done, total)` counts images. Raises TLError naming an image
    that can no longer be read.
    """
    need = nbytes(len(records), size)
    in_memory = need <= (MEMORY_SHARE * available_memory() if memory is None else memory)
    # an image without a digest could not be told from another one, so it is not kept
    keepable = all(r.digest for r in records) and len(records) > 0
    # a cache that cannot be written (a full disk, a read-only home) is done without
    with contextlib.suppress(OSError):
        if keepable and need <= (cache.bound() if disk is None else disk):
            return _kept(records, size, in_memory, on_progress)
    if in_memory:
        rows = np.empty((len(records), size, size, 3), np.uint8)
        for start, chunk in _decoded(records, size, 0, on_progress):
            rows[start : start + len(chunk)] = chunk
        return _of_array(rows, "memory")
    return _streamed(records, size)


def nbytes(n: int, size: int) -> int:
    """Return the bytes that n images take."""
    return n * size * size * 3


def available_memory() -> float:
    """Return the bytes of RAM that this process can take now without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux, which does not say; half is a guess
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return min(free, _allowed_memory())


def _allowed_memory() -> float:
    """The room that a container's limit leaves; without it the kernel would kill the run."""
    try:
        limit, used = ((CGROUP / name).read_text() for name in ("memory.max", "memory.current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):  # no container, or "max"
        return math.inf


def cores() -> int:
    """Return the CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def squash(image: Image.Image, size: int) -> Image.Image:
    """Return the whole image as a square: nothing is cut off, the proportions are not kept."""
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BILINEAR)


def pixels(record: Record, size: int) -> np.ndarray:
    """Return one image as uint8 [size, size, 3]. Raises TLError where it cannot be read."""
    try:
        return np.asarray(squash(open_rgb(record, size), size))
    except TLError as error:
        raise TLError(error.message, CHANGED_SINCE_THE_SCAN) from error


def key(records: Sequence[Record], size: int) -> str:
    """Return what a store is kept under: the images' contents in order, the size, the decoder."""
    seen = hashlib.blake2b(f"{DECODE_VERSION} {size}".encode(), digest_size=16)
    for record in records:
        seen.update(f" {record.digest}".encode())
    return seen.hexdigest()


def _kept(
    records: Sequence[Record], size: int, in_memory: bool, on_progress: Progress | None
) -> ImageStore:
    """Open the store in the cache, made first where there is none."""
    name = key(records, size)
    found = cache.find(KIND, name)
    if found is None:
        with cache.partial(KIND, name) as work:
            # another run may have made it while this one waited for its turn
            found = cache.find(KIND, name)
            if found is None:
                try:
                    _write(work / "images.npy", records, size, on_progress)
                    found = cache.commit(work)
                except OSError:  # what filled the disk must not stay on it
                    (work / "images.npy").unlink(missing_ok=True)
                    raise
    path = found / "images.npy"
    rows = np.load(path, mmap_mode=None if in_memory else "r")
    return _of_array(rows, "memory" if in_memory else "disk", path)


def _write(path: Path, records: Sequence[Record], size: int, on_progress: Progress | None) -> None:
    """Append the images to a .npy file, going on after the last whole one of a killed run."""
    header = _header((len(records), size, size, 3))
    with path.open("ab") as file:
        if file.tell() < len(header):
            file.truncate(0)
            file.write(header)
        done = (file.tell() - len(header)) // nbytes(1, size)
        file.truncate(len(header) + nbytes(done, size))
        for _, chunk in _decoded(records, size, done, on_progress):
            file.write(chunk)


def _header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    fields = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()


def _decoded(
    records: Sequence[Record], size: int, first: int, on_progress: Progress | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (row, uint8 [c, size, size, 3]) in order from row `first` on, decoded in threads."""
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(first, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            yield start, _together(pool, chunk, size)
            if on_progress:
                on_progress(start + len(chunk), len(records))


def _together(pool: ThreadPoolExecutor, records: Sequence[Record], size: int) -> np.ndarray:
    """Decode images in the pool's threads, each into its row: uint8 [c, size, size, 3]."""
    rows = np.empty((len(records), size, size, 3), np.uint8)

    def fill(i: int) -> None:
        rows[i] = pixels(records[i], size)

    for _ in pool.map(fill, range(len(records))):  # raises what a thread raised
        pass
    return rows


def _of_array(rows: np.ndarray, place: str, path: Path | None = None) -> ImageStore:
    return ImageStore(rows.shape, place, lambda chosen: rows[np.asarray(chosen)], path)


def _streamed(records: Sequence[Record], size: int) -> ImageStore:
    pool = ThreadPoolExecutor(cores())

    def take(chosen: np.ndarray) -> np.ndarray:
        return _together(pool, [records[int(i)] for i in chosen], size)

    return ImageStore((len(records), size, size, 3), "streamed", take)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
