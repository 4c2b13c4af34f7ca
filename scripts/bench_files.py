"""How long many small files take: to scan, again, to split, and as a table; as files and in tars.

    python scripts/bench_files.py [--numbers 1000,10000,100000] [--folder DIR]
    python scripts/bench_files.py --manifests [--numbers 10000,100000]

Makes JPEGs of 64 x 64 noise, all different, in ten class folders, and the same images in tar files
of 10,000. Needs no data set. 100,000 files take 0.5 GB. Prints a Markdown table of CPU seconds.
--manifests makes no files, and tells what a manifest of so many costs as CSV, as tl keeps it, and
as Parquet.
"""

import argparse
import io
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES, A_TAR = 10, 10_000


def image(number: int) -> bytes:
    coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype="uint8")
    file = io.BytesIO()
    Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def write_files(root: Path, number: int) -> None:
    for i in range(number):
        file = root / f"class{i % CLASSES}" / f"{i:07d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image(i))


def write_tars(root: Path, number: int) -> None:
    root.mkdir()
    for start in range(0, number, A_TAR):
        with tarfile.open(root / f"images-{start // A_TAR:06d}.tar", "w") as tar:
            for i in range(start, min(start + A_TAR, number)):
                data = image(i)
                info = tarfile.TarInfo(f"class{i % CLASSES}/{i:07d}.jpg")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def timed(source: str, cache: str) -> None:
    """Print CPU seconds of each step, and bytes of memory at the most, of this process."""
    from tl_cli.data.csv_io import read_csv, write_csv
    from tl_cli.data.scan import scan
    from tl_cli.data.split import assign_splits

    cells = []

    def step(name: str, do):
        before, began = time.process_time(), time.perf_counter()
        done = do()
        cells.append(f"{time.process_time() - before:.1f} ({time.perf_counter() - began:.1f})")
        return done

    place = Path(cache) / "manifest.csv"
    step("scan", lambda: scan(source, cache=Path(cache)))
    found = step("again", lambda: scan(source, cache=Path(cache)))
    split = step("split", lambda: assign_splits(found))
    step("write", lambda: write_csv(split, place))
    step("read", lambda: read_csv(place))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(" | ".join((*cells, f"{peak / 1e6:.0f} MB")))


def manifests(number: int) -> list[str]:
    """Return rows of the table: CPU seconds to write and to read a manifest, and its size."""
    from dataclasses import fields

    import pyarrow as pa
    from pyarrow import parquet

    from tl_cli.data.csv_io import read_csv, write_csv
    from tl_cli.data.manifest import Manifest, Record

    digest = np.random.default_rng(0).bytes(16 * number).hex()
    records = tuple(
        Record(
            path=f"/data/photos/train/class{i % CLASSES}/{i:07d}.jpg",
            label=f"class{i % CLASSES}",
            split="train",
            digest=digest[32 * i : 32 * i + 32],
            width=500,
            height=375,
            mode="RGB",
            phash=digest[32 * i : 32 * i + 16],
        )
        for i in range(number)
    )
    names = [field.name for field in fields(Record)]

    def write_parquet(place: Path) -> None:
        columns = {name: [getattr(record, name) for record in records] for name in names}
        parquet.write_table(pa.table(columns), place)

    def read_parquet(place: Path) -> list[Record]:
        columns = parquet.read_table(place).to_pydict()
        return [Record(*values) for values in zip(*columns.values(), strict=True)]

    ways = {
        "CSV": (lambda place: write_csv(Manifest("x", (), records), place), read_csv),
        "Parquet": (write_parquet, read_parquet),
    }
    rows = []
    for name, (write, read) in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            place, seconds = Path(folder) / "manifest", []
            for do in (write, read):
                before = time.process_time()
                done: Any = do(place)
                seconds.append(f"{time.process_time() - before:.2f}")
            assert len(getattr(done, "records", done)) == number
            megabytes = place.stat().st_size / 1e6
        rows.append(f"| {number:,} | {name} | {' | '.join(seconds)} | {megabytes:.1f} MB |")
    return rows


def apart(source: Path, cache: Path) -> str:
    command = [sys.executable, __file__, "--timed", str(source), str(cache)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    if sys.argv[1:2] == ["--timed"]:
        timed(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--numbers", default="1000,10000,100000")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--manifests", action="store_true")
    options = parser.parse_args()
    if options.manifests:
        print("| images | manifest as | written | read | size |\n|---|---|---|---|---|")
        for number in map(int, options.numbers.split(",")):
            print("\n".join(manifests(number)), flush=True)
        return
    print("| images | as | scan | again | split | manifest written | read | memory |")
    print("|---|---|---|---|---|---|---|---|")
    for number in map(int, options.numbers.split(",")):
        for what, write in (("files", write_files), ("tars", write_tars)):
            with tempfile.TemporaryDirectory(dir=options.folder) as name:
                root = Path(name)
                write(root / "data", number)
                os.environ["TL_CACHE"] = str(root / "cache")
                (root / "cache").mkdir()
                cells = apart(root / "data", root / "cache")
                print(f"| {number:,} | {what} | {cells} |", flush=True)
                shutil.rmtree(root / "data")


if __name__ == "__main__":
    main()
