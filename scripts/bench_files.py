"""How long many small files take: to scan, again, to split, and as a table; as files and in tars.

    python scripts/bench_files.py [--numbers 1000,10000,100000] [--folder DIR]

Makes JPEGs of 64 x 64 noise, all different, in ten class folders, and the same images in tar files
of 10,000. Needs no data set. 100,000 files take 0.5 GB. Prints a Markdown table of CPU seconds.
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
    options = parser.parse_args()
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
