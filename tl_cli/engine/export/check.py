"""Is an exported file the network that it was made from? Measured on real images, where it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tl_cli.data.csv_io import read_csv
from tl_cli.data.manifest import Record
from tl_cli.data.sources.samples import SCHEME
from tl_cli.engine import features
from tl_cli.engine.export.network import Network, Runtime
from tl_cli.errors import TLError
from tl_cli.results.export import Equality
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

MOST, CALIBRATION = 64, 200  # images to check with; to calibrate int8 with
BATCHES = (1, 5)
# Of a probability, at most; int8 rounds so much that only the answer can be asked for
DIFFERENCE = {None: 1e-4, "float16": 2e-2}
AGREEMENT = 0.98  # share of images with the same most probable class, for int8
TIMED, SECONDS = (1, 32), 1.0  # batch sizes of the benchmark; how long each is repeated


def chosen(run: RunDir, split: str, most: int) -> list[Record]:
    """Return up to `most` records of a split that still are where they were, spread evenly.

    Raises TLError where there is none.
    """
    records = read_csv(run / run_dir.MANIFEST).of(split)
    there = [r for r in records if r.path.startswith(SCHEME) or Path(r.path).is_file()]
    if not there:
        raise TLError(
            f"none of the {split} images in {run / run_dir.MANIFEST} is there any more, and an "
            "export is checked on real images",
            "put them back where they were, or export on the machine that has them",
        )
    at = np.linspace(0, len(there) - 1, min(most, len(there))).round().astype(int)
    return [there[i] for i in at]


def images(records: Sequence[Record], size: int) -> np.ndarray:
    """Return images float32 [n, size, size, 3], opened as in training. Raises TLError."""
    return features.images(records, size).astype("float32")


def calibration(network: Network) -> np.ndarray:
    """Return training images to calibrate int8 with, float32 [n, size, size, 3]."""
    return images(chosen(network.run, "train", CALIBRATION), network.size)


def compare(
    want: np.ndarray, runtime: Runtime, images: np.ndarray, quantize: str | None
) -> Equality:
    """Return how equal the runtime's answers to images are to those wanted, over all batch sizes.

    `want`: float32 [n, C]; `images`: float32 [n, size, size, 3].
    """
    return equality(
        want,
        [batched(runtime, images, size) for size in BATCHES],
        DIFFERENCE.get(quantize),
        AGREEMENT if quantize == "int8" else None,
    )


def equality(
    want: np.ndarray,
    found: Sequence[np.ndarray],
    allowed: float | None = None,
    least: float | None = None,
) -> Equality:
    """Return the worst figures of several answers [n, C] to the same images."""
    difference = max(float(np.abs(got - want).max()) for got in found)
    agreement = min(float((got.argmax(1) == want.argmax(1)).mean()) for got in found)
    return Equality(len(want), difference, agreement, allowed, least)


def batched(runtime: Runtime, images: np.ndarray, size: int) -> np.ndarray:
    """Return the runtime's answers [n, C] to images, asked for `size` at a time."""
    starts = range(0, len(images), size)
    return np.concatenate([np.array(runtime(images[i : i + size])) for i in starts])


def milliseconds(runtime: Runtime, images: np.ndarray) -> dict[int, float]:
    """Return the median time an image, by batch size, after a first batch that is not counted."""
    return {size: _median(runtime, np.resize(images, (size, *images.shape[1:]))) for size in TIMED}


def _median(runtime: Runtime, batch: np.ndarray) -> float:
    runtime(batch)
    seconds: list[float] = []
    while not seconds or sum(seconds) < SECONDS:
        start = time.perf_counter()
        runtime(batch)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)) / len(batch) * 1000
