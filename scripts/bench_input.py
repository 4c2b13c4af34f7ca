"""Measures the input side: images a second of Keras, of ours and of a plain Pillow loop per core.

    TL_SETS=FOLDER python scripts/bench_input.py [FOLDER] [--output FILE.jsonl]

FOLDER holds the image sets `flowers` and `fashion_mnist`, each as train/<class>/*. Everything is
measured in one run on the same files, already in the page cache, the contenders in turn in each
round; the median of the rounds counts. Ours: `alone` is the first epoch with nothing kept; `scan`
keeps what it decodes, as `tl train` has it; `first` is the first epoch after that scan. Prints a
Markdown table of images a second, and another of images per second of CPU time, which other work on
the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tl_cli.machine import cores

BATCH = 32
ROUNDS = 3
LATER_EPOCHS = 5
LARGE = (3000, 2000)
# name -> (set, image size to train at, most images)
SETS = {
    "photos 3000x2000": ("flowers", 224, 200),
    "flowers": ("flowers", 224, 1000),
    "PNG 28x28": ("fashion_mnist", 32, 1000),
}
AUGMENT_SIZE = 128
RATED = ("alone", "both", "first", "later", "pillow")

Seconds = np.ndarray  # [2]: of the wall clock, of CPU time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="?", default=os.environ.get("TL_SETS"), type=Path)
    parser.add_argument("--output", type=Path, help="append the figures as JSON lines")
    arguments = parser.parse_args()
    if not arguments.sets or not Path(arguments.sets).is_dir():
        parser.error("give the folder of the image sets, or set TL_SETS")
    import tl_cli.engine  # noqa: F401  # imports the framework quietly, for all contenders

    with (
        tempfile.TemporaryDirectory() as scratch,
        ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn")) as pool,
    ):
        lines = measured(arguments.sets, Path(scratch), pool)
    if arguments.output:
        with arguments.output.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    print(machine() + "\n")
    compared = [line for line in lines if "keras" in line]
    print("Images a second:\n\n" + table(compared))
    print(
        "\nImages per second of CPU time, all threads together:\n\n"
        + table([line | line["cpu"] for line in compared])
    )
    print()
    print(augment_table(lines[-1]))


def measured(sets: Path, scratch: Path, pool: Executor) -> list[dict[str, Any]]:
    """Return one line of figures for each set, and a last one for the augmentation."""
    lines = []
    for name, (source, size, most) in SETS.items():
        files = sorted((sets / source / "train").glob("*/*"))
        files = files[:: max(1, -(-len(files) // most))][:most]
        folder = scratch / name.replace(" ", "_")
        if name.startswith("photos"):
            list(pool.map(enlarge, files, targets(folder, files, ".jpg")))
        else:
            for file, target in zip(files, targets(folder, files), strict=True):
                target.symlink_to(file.resolve())
        lines.append({"set": name, "size": size, **compare(folder, size, scratch, pool)})
        print(json.dumps(lines[-1]), file=sys.stderr)
    lines.append(augmentation(scratch / "flowers", scratch))
    print(json.dumps(lines[-1]), file=sys.stderr)
    return lines


def targets(folder: Path, files: Sequence[Path], suffix: str | None = None) -> list[Path]:
    for file in files:
        (folder / file.parent.name).mkdir(parents=True, exist_ok=True)
    return [folder / f.parent.name / (f.stem + (suffix or f.suffix)) for f in files]


def enlarge(file: Path, target: Path) -> None:
    """A large photo: a real one, enlarged, with the noise of a sensor so that it packs as one."""
    with Image.open(file) as image:
        large = np.asarray(image.convert("RGB").resize(LARGE, Image.Resampling.BICUBIC), np.int16)
    noise = np.random.default_rng(len(file.name)).normal(0, 6, large.shape[:2])
    noisy = np.clip(large + noise[..., None].astype(np.int16), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(target, quality=90)


def compare(folder: Path, size: int, scratch: Path, pool: Executor) -> dict[str, Any]:
    """Return the images, and the median of each contender's images a second, wall and CPU."""
    files = sorted(folder.glob("*/*"))
    list(pool.map(decode, files, [size] * len(files)))  # starts the processes, fills the page cache
    runs: list[dict[str, Seconds]] = []
    for _ in range(ROUNDS):
        scan, first, later = ours(folder, size, scratch, keep=size)
        runs.append(
            {
                "alone": ours(folder, size, scratch, keep=None)[1],
                "keras": keras_epoch(folder, size),
                "pillow": pillow_loop(files, size, pool),
                "scan": scan,
                "first": first,
                "both": scan + first,
                "later": later,
            }
        )
    return {"images": len(files), **rates(runs, len(files), 0), "cpu": rates(runs, len(files), 1)}


def rates(runs: Sequence[dict[str, Seconds]], images: int, which: int) -> dict[str, float]:
    """Return each contender's images a second: of the wall clock (0) or of CPU time (1)."""
    return {
        name: round(images / statistics.median(run[name][which] for run in runs), 1)
        for name in runs[0]
    }


def clocks() -> np.ndarray:
    """Seconds of the wall clock, and of CPU time in all threads of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def fresh_cache(scratch: Path) -> Path:
    """Point the cache at a new, empty folder."""
    place = Path(tempfile.mkdtemp(dir=scratch))
    os.environ["TL_CACHE"] = str(place)
    return place


def keras_epoch(folder: Path, size: int) -> Seconds:
    import keras

    start = clocks()
    data = keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=BATCH, verbose=False
    )
    for _ in data:
        pass
    return clocks() - start


def ours(
    folder: Path, size: int, scratch: Path, keep: int | None
) -> tuple[Seconds, Seconds, Seconds]:
    """Return the seconds of the scan, of the first epoch with the store, and of a later one."""
    from tl_cli.data.scan import scan
    from tl_cli.engine import images as pipeline

    place = fresh_cache(scratch)
    start = clocks()
    manifest = scan(str(folder), cache=place, keep=keep)
    scanned = clocks() - start
    records = manifest.records
    labels = np.array([manifest.classes.index(record.label) for record in records])
    start = clocks()
    store = pipeline.store(records, size)
    steps = pipeline.steps(len(store), BATCH)
    batches = iter(pipeline.batches(store, labels, batch_size=BATCH, training=True))
    for _ in range(steps):
        next(batches)
    first = clocks() - start
    for _ in range(steps * LATER_EPOCHS):
        next(batches)
    return scanned, first, (clocks() - start - first) / LATER_EPOCHS


def pillow_loop(files: Sequence[Path], size: int, pool: Executor) -> Seconds:
    """The limit: one process a core, each in a plain loop, nothing handed back."""
    start = clocks()
    shares = [files[i :: cores()] for i in range(cores())]
    used = sum(pool.map(decode_all, shares, [size] * cores()))
    return np.array([(clocks() - start)[0], used])


def decode_all(files: Sequence[Path], size: int) -> float:
    """Return the CPU seconds that the loop took."""
    start = time.process_time()
    for file in files:
        decode(file, size)
    return time.process_time() - start


def decode(file: Path, size: int) -> None:
    with Image.open(file) as image:
        image.draft("RGB", (size, size))
        np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def augmentation(folder: Path, scratch: Path) -> dict[str, Any]:
    """Return the images a second of each level, from the store to the finished batch."""
    from tl_cli.data.scan import scan
    from tl_cli.engine import images as pipeline

    found = scan(str(folder), cache=fresh_cache(scratch))
    labels = np.array([found.classes.index(record.label) for record in found.records])
    store = pipeline.store(found.records, AUGMENT_SIZE)
    rates: dict[str, list[float]] = {level: [] for level in pipeline.LEVELS}
    for _ in range(ROUNDS):
        for level, seen in rates.items():
            batches = iter(
                pipeline.batches(
                    store,
                    labels,
                    batch_size=BATCH,
                    training=True,
                    classes=len(found.classes),
                    one_hot=True,
                    augment=level,
                    mirror=level != "none",
                )
            )
            for _ in range(10):  # traced, and the batches made ahead used up
                next(batches)
            start = time.perf_counter()
            count = sum(len(next(batches)[0]) for _ in range(40))
            seen.append(count / (time.perf_counter() - start))
    return {"augment_at": AUGMENT_SIZE} | {k: round(statistics.median(r)) for k, r in rates.items()}


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Images a second, and in brackets as a ratio to Keras."""
    rows = [
        "| images | size | Keras | ours, first epoch alone | ours, scan + first epoch"
        " | ours, first epoch after the scan | ours, later epochs | Pillow loop per core"
        " | what the scan adds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        cells = [f"{line[k]:,.0f} ({line[k] / line['keras']:.1f}x)" for k in RATED]
        what = f"{line['images']:,} {line['set']}"
        size, keras = f"{line['size']} px", f"{line['keras']:,.0f}"
        adds = f"{line['alone'] / line['both'] - 1:.2f}"
        rows.append("| " + " | ".join([what, size, keras, *cells, adds]) + " |")
    return "\n".join(rows)


def augment_table(line: dict[str, Any]) -> str:
    levels = [key for key in line if key != "augment_at"]
    rows = [["augmentation", *levels], ["---"] * (len(levels) + 1)]
    rows.append([f"images a second at {line['augment_at']} px", *(f"{line[k]:,}" for k in levels)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine() -> str:
    import PIL
    import tensorflow as tf

    return (
        f"{cores()} CPU cores ({platform.machine()}), Python {platform.python_version()}, "
        f"TensorFlow {tf.__version__}, Pillow {PIL.__version__}, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
