"""Is an exported file the network that it was made from? Measured on real images, where it runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from tl_cli.data.csv_io import read_csv
from tl_cli.data.manifest import REGRESSION, Manifest, Record
from tl_cli.engine import features, run_images
from tl_cli.engine.export.network import Network, Runtime
from tl_cli.engine.export.unknown import SCORE
from tl_cli.engine.images import image_store
from tl_cli.errors import TLError
from tl_cli.results.export import Equality
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

MOST, CALIBRATION = 64, 200  # images to check with; to calibrate int8 with
BATCHES = (1, 5)
# Of a probability, at most; int8 rounds so much that only the answer can be asked for
DIFFERENCE = {None: 1e-4, "float16": 2e-2}
SCORE_DIFFERENCE = 1e-3  # of a score for unknown images, in what it is or 1, whichever is more
OF_A_NUMBER = 10  # times as much of the scale of numbers, which no softmax holds together
NEARLY = 0.1  # of that scale: what two numbers differ by that are nearly the same
AGREEMENT = 0.98  # share of images with the same most probable class, for int8
# batch sizes of the benchmark; how long, and how often at least, each is repeated
TIMED, SECONDS, RUNS = (1, 32), 1.0, 5


def chosen(
    run: RunDir, split: str, most: int, size: int, data: Manifest | None = None
) -> tuple[str, list[Record]]:
    """Return up to `most` images, spread evenly, and which they are: "val", ..., or "data".

    Of `data` where those are given; else of the run's split, or where nothing is left of that, of
    another. An image is there if its file is as it was, or its pixels are kept at that size. Raises
    TLError where there is none.
    """
    if data is not None:
        return "data", _readable(data, most, size)
    manifest = read_csv(run / run_dir.MANIFEST)
    for name in dict.fromkeys((split, "val", "train", "test")):
        records = manifest.of(name)
        for some in (_evenly(records, most), records):  # mostly, all of the few are there
            there = run_images.find(some, name, size).records
            if there:
                return name, _evenly(there, most)
    raise TLError(
        f"an export is checked on real images, and of the {len(manifest.records):,} in "
        f"{run / run_dir.MANIFEST} none is as it was, nor are its pixels kept",
        "give any images of that kind: --data DIR",
    )


def _readable(data: Manifest, most: int, size: int) -> list[Record]:
    """Return those of some images that can be opened."""
    found, error = [], TLError(f"there are no images in {data.source}")
    for record in _evenly(data.records, most):
        try:
            image_store.pixels(record, size)
        except TLError as raised:
            error = raised
        else:
            found.append(record)
    if not found:
        raise TLError(f"no image in {data.source} can be opened: {error.message}", "give others")
    return found


def _evenly(records: Sequence[Record], most: int) -> list[Record]:
    at = np.linspace(0, len(records) - 1, min(most, len(records))).round().astype(int)
    return [records[i] for i in at]


def images(records: Sequence[Record], size: int) -> np.ndarray:
    """Return images float32 [n, size, size, 3], opened as in training. Raises TLError."""
    return features.images(records, size).astype("float32")


def calibration(network: Network) -> np.ndarray:
    """Return training images to calibrate int8 with, float32 [n, size, size, 3]."""
    _, records = chosen(network.run, "train", CALIBRATION, network.size, network.data)
    return images(records, network.size)


Answers = Mapping[str, np.ndarray]  # each output by its name, [n, ...]


def compare(
    want: Answers,
    runtime: Runtime,
    images: np.ndarray,
    quantize: str | None,
    thresholds: Sequence[float] = (),
    scale: float | None = None,
) -> Equality:
    """Return how equal the runtime's answers to images are to those wanted, over all batch sizes.

    `images`: float32 [n, size, size, 3].
    """
    allowed = DIFFERENCE.get(quantize)
    if allowed and scale:
        allowed *= OF_A_NUMBER * scale
    return equality(
        want,
        [batched(runtime, images, size) for size in BATCHES],
        allowed,
        AGREEMENT if quantize == "int8" else None,
        thresholds,
        scale,
    )


def equality(
    want: Answers,
    found: Sequence[Answers],
    allowed: float | None = None,
    least: float | None = None,
    thresholds: Sequence[float] = (),
    scale: float | None = None,
) -> Equality:
    """Return the worst figures of several answers to the same images.

    `thresholds`: by class, where an image may have several labels: then answers agree where all
    labels do. `scale`: of numbers, which agree where they differ by less than a tenth of it. Scores
    are asked for as exactly as SCORE_DIFFERENCE wherever anything is.
    """
    wanted = main(want)

    def same(got: np.ndarray) -> np.ndarray:
        if scale:
            return np.asarray(np.abs(got - wanted)[:, 0] <= NEARLY * scale)
        if thresholds:
            return np.asarray(((got >= thresholds) == (wanted >= thresholds)).all(1))
        return np.asarray(got.argmax(1) == wanted.argmax(1))

    said = [main(answers) for answers in found]
    return Equality(
        images=len(wanted),
        difference=max(float(np.abs(got - wanted).max()) for got in said),
        agreement=min(float(same(got).mean()) for got in said),
        allowed_difference=allowed,
        least_agreement=least,
        number=scale is not None,
        unknown_difference=_score_difference(want, found),
        allowed_unknown_difference=SCORE_DIFFERENCE if allowed and SCORE in want else None,
    )


def main(answers: Answers) -> np.ndarray:
    """Return the first output, whatever it is called: probabilities or values [n, C]."""
    return next(values for name, values in answers.items() if name != SCORE)


def scale_of(want: Answers, network: Network) -> float | None:
    """Return what a difference of numbers is held against; None where labels are none.

    How they spread, or how far off they are; not less than what seven digits hold.
    """
    if network.built.task != REGRESSION:
        return None
    values, interval = main(want), network.built.interval
    off = interval.radius if interval else 0.0
    return float(max(np.std(values), off, 1e-3 * np.abs(values).max(), 1e-30))


def _score_difference(want: Answers, found: Sequence[Answers]) -> float | None:
    """Return the greatest difference of a score, in what it is or 1; None where there is none."""
    if SCORE not in want:
        return None
    unit = np.maximum(want[SCORE], 1)
    return max(float((np.abs(answers[SCORE] - want[SCORE]) / unit).max()) for answers in found)


def batched(runtime: Runtime, images: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Return the runtime's answers to images, asked for `size` at a time."""
    starts = range(0, len(images), size)
    parts = [runtime(images[i : i + size]) for i in starts]
    return {name: np.concatenate([np.array(part[name]) for part in parts]) for name in parts[0]}


def milliseconds(runtime: Runtime, images: np.ndarray) -> dict[int, float]:
    """Return the median time an image, by batch size, after a first batch that is not counted."""
    return {size: _median(runtime, np.resize(images, (size, *images.shape[1:]))) for size in TIMED}


def _median(runtime: Runtime, batch: np.ndarray) -> float:
    runtime(batch)
    seconds: list[float] = []
    while len(seconds) < RUNS or sum(seconds) < SECONDS:
        start = time.perf_counter()
        runtime(batch)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)) / len(batch) * 1000
