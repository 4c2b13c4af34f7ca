"""How long a head takes to be solved on features that stay on disk, and how much memory.

    python scripts/bench_solve.py SETS [--set trashnet] [--rows 10000,100000,1000000] [--out FILE]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. The rows
are the features of EfficientNet-Lite0 at 128 px of the set's training images, the columns that a
head sees, repeated with noise of half their deviation, on disk. For each number of rows the joined
ridge head is solved in a process of its own, on disk, and up to --in-memory in memory too. Prints a
Markdown table, and appends what was measured to --out, a line of JSON each. A million rows take
4 GB of disk (--folder), and with --dtype float32 8 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

CHUNK = 10_000
NOISE = 0.5  # of a column's deviation


def real(where: Path, name: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return float32 [n, D], labels int [n] and the widths of the depths, of training images."""
    from bench_policy import manifest_of

    from tl_cli import config
    from tl_cli.engine.context import prepare
    from tl_cli.engine.head import choice
    from tl_cli.results.progress import silent

    manifest = manifest_of(where / name, None, 0)
    flags = {"data": manifest.source, "seed": 0, "image_size": 128}
    context = prepare(config.load(flags=flags), manifest)
    widths = context.widths(context.taps)
    rows = choice.extract(context, silent).array()[:, -sum(widths) :]
    labels = context.labels("train")
    return rows[: len(labels)], labels, list(widths)


def made(folder: Path, features: np.ndarray, labels: np.ndarray, number: int, dtype: str) -> None:
    """Write features around real ones, and labels, into a folder."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(labels), number)
    spread = NOISE * features.std(0)
    with (folder / "rows.bin").open("wb") as file:
        for start in range(0, number, CHUNK):
            part = features[chosen[start : start + CHUNK]]
            noisy = part + rng.standard_normal(part.shape, "float32") * spread
            file.write(noisy.astype(dtype).tobytes())
    np.save(folder / "labels.npy", labels[chosen])


def solved(folder: Path, widths: list[int], on_disk: bool) -> dict[str, float]:
    """Solve in this process; return seconds and bytes of memory of its own at the most."""
    from tl_cli.engine.head import row_blocks, solver
    from tl_cli.store.rows import Rows

    labels = np.load(folder / "labels.npy")
    width = sum(widths)
    shape = (len(labels), width)
    item = (folder / "rows.bin").stat().st_size // (len(labels) * width)
    mapped = np.memmap(folder / "rows.bin", f"float{8 * item}", "r", shape=shape)
    rows = Rows(mapped, np.arange(len(labels)))
    before, peak, stop = _anonymous(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], _anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, worked = time.perf_counter(), time.process_time()
    blocks = row_blocks.RowBlocks(rows, np.arange(len(labels)), slice(0, width))
    head = solver.solve_depths(
        blocks if on_disk else blocks[:], widths, labels, int(labels.max()) + 1, method="ridge"
    )
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    stop.set()
    watcher.join()
    np.save(folder / f"head-{on_disk}.npy", head.weights)
    return {
        "seconds": seconds,
        "cpu": worked,
        "bytes": peak[0],
        "before": before,
        "right": head.cv_accuracy,
    }


def _anonymous() -> int:
    """Return the bytes of memory of this process that are no file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


def apart(folder: Path, widths: list[int], on_disk: bool) -> dict[str, float]:
    """As `solved`, in a process of its own."""
    command = [sys.executable, __file__, "--solve", str(folder), json.dumps(widths), str(on_disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--solve"]:
        place, told, way = sys.argv[2:]
        print(json.dumps(solved(Path(place), json.loads(told), way == "True")))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--set", default="trashnet")
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--dtype", default="float16", choices=("float16", "float32"))
    parser.add_argument("--out", type=Path, help="a file of JSON lines, appended to")
    parser.add_argument("--in-memory", type=int, default=100_000, help="up to so many rows")
    parser.add_argument("--folder", type=Path, help="where the rows are written")
    options = parser.parse_args()
    features, labels, widths = real(Path(options.where), options.set)
    print(f"{len(labels):,} real rows of {options.set}, {sum(widths):,} features at {len(widths)} ")
    print("depths; memory beside what the libraries take\n")
    print("| rows | on disk | solved | CPU s | seconds | memory | held out | differs by |")
    print("|---|---|---|---|---|---|---|---|")
    for number in map(int, options.rows.split(",")):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            made(folder, features, labels, number, options.dtype)
            size = (folder / "rows.bin").stat().st_size / 1e9
            ways = [True, False] if number <= options.in_memory else [True]
            for on_disk in ways:
                found = apart(folder, widths, on_disk)
                difference = ""
                if not on_disk:
                    heads = [np.load(folder / f"head-{way}.npy") for way in ways]
                    difference = f"{np.abs(heads[0] - heads[1]).max() / np.abs(heads[1]).max():.0e}"
                way = "on disk" if on_disk else "in memory"
                memory = (found["bytes"] - found["before"]) / 1e9
                if options.out:
                    row = {"rows": number, "columns": sum(widths), "dtype": options.dtype}
                    with options.out.open("a") as file:
                        print(json.dumps({**row, "way": way, **found}), file=file)
                print(
                    f"| {number:,} | {size:.2f} GB | {way} | "
                    f"{found['cpu']:.0f} | {found['seconds']:.0f} | "
                    f"{memory:.2f} GB | {found['right']:.3f} | {difference} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
