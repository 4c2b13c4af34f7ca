"""What of a run is the same the next time, and what it costs that it is.

    python scripts/bench_reproducible.py DATA [--size 64] [--epochs 4] [--pairs 3]

DATA is a folder of class folders. Every training is a process of its own. Prints two Markdown
tables. The first: a training compared with one under other circumstances, by the saved weights, the
figures (metrics.json, history.csv, plan.json, predictions.csv, but for seconds and memory) and all
of them together, to the last bit. The second: the training with TensorFlow's deterministic
operations and without them, in pairs, by CPU time of all threads, which other work on the machine
disturbs less.
"""

import argparse
import csv
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

MODES = {
    "head": ("--freeze", "head"),
    "half": ("--freeze", "half", "--augment", "medium"),
    "half from pixels": ("--freeze", "half", "--augment", "medium", "--no-cache"),
    "everything": ("--freeze", "full", "--augment", "strong"),
    "scratch": ("--from-scratch", "--augment", "strong", "--mirror", "yes"),
    "auxiliary": ("--freeze", "half", "--aux-heads", "1", "--unfreeze", "gradual", "--ema", "0.9"),
}
# Trains, and says how many seconds of CPU that took; "with": in TensorFlow's deterministic mode.
CHILD = """
import sys, time
if sys.argv.pop(1) == "with":
    import tensorflow as tf
    tf.config.experimental.enable_op_determinism()
from tl_cli.cli.app import app
try:
    app(sys.argv[1:], standalone_mode=False)
finally:
    print(time.process_time())
"""


def trained(place: Path, name: str, cache: str, *options: str, **more) -> tuple[Path, float]:
    """Train in a process of its own; return the run and its seconds of CPU."""
    run = place / name
    words = more.pop("prefix", ())
    command = [*words, sys.executable, "-c", CHILD, more.pop("ops", "without"), "train"]
    done = subprocess.run(
        [*command, *options, "--output", str(run), "--no-report", "-q"],
        env={**os.environ, "TL_CACHE": str(place / cache), **more.pop("env", {})},
        cwd=more.pop("cwd", place),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return run, float(done.stdout.split()[-1])


def digests(run: Path) -> dict[str, str]:
    """Return the digest of the weights, and that of the figures."""
    weights = hashlib.sha256()

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            weights.update(name.encode() + np.asarray(item).tobytes())

    with h5py.File(run / "checkpoint.weights.h5") as file:
        file.visititems(add)
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["seconds"], metrics["peak_memory"], metrics["milliseconds"]
    history = run / "history.csv"
    lines = history.read_text().splitlines() if history.is_file() else []
    rows = [row | {"seconds": ""} for row in csv.DictReader(lines)]
    said = [(run / name).read_text() for name in ("plan.json", "predictions.csv")]
    figures = hashlib.sha256(repr((metrics, rows, said)).encode())
    return {"weights": weights.hexdigest(), "figures": figures.hexdigest()}


def compare(place: Path, mode: str, options: tuple[str, ...]) -> None:
    """Print a row: under which circumstances a training comes to the same."""
    first, _ = trained(place, f"{mode}-first", f"{mode}-cache", *options)
    one_core = ("taskset", "-c", "0")
    others = {
        "again": trained(place, f"{mode}-again", f"{mode}-cold", *options),
        "warm": trained(place, f"{mode}-warm", f"{mode}-cache", *options),
        "folder": trained(place, f"{mode}-folder", f"{mode}-cache", *options, cwd="/"),
        "one core": trained(place, f"{mode}-core", f"{mode}-core-cache", *options, prefix=one_core),
    }
    whole, cells = digests(first), []
    for run, _ in others.values():
        other = digests(run)
        differing = [name for name in whole if whole[name] != other[name]]
        cells.append(f"{' and '.join(differing)} differ" if differing else "equal")
    print(f"| {mode} | {' | '.join(cells)} |", flush=True)


def cost(place: Path, mode: str, options: tuple[str, ...], pairs: int) -> None:
    """Print a row: CPU time with deterministic operations and without."""
    ratios: list[float] = []
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    for pair in range(pairs):
        order = ("with", "without") if pair % 2 else ("without", "with")
        for ops in order:
            name = f"{mode}-{ops}-{pair}"
            seconds[ops].append(trained(place, name, f"{name}-cache", *options, ops=ops)[1])
        ratios.append(seconds["with"][-1] / seconds["without"][-1])
    same = digests(place / f"{mode}-with-0") == digests(place / f"{mode}-without-0")
    means = " | ".join(f"{statistics.median(seconds[ops]):.1f}" for ops in ("without", "with"))
    all_ratios = ", ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
    print(f"| {mode} | {means} | {all_ratios} | {'equal' if same else 'differ'} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", default="64")
    parser.add_argument("--epochs", default="4")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--modes", default=",".join(MODES))
    given = parser.parse_args()
    common = ("--data", str(given.data.resolve()), "--image-size", given.size)
    modes = {
        name: (*common, "--epochs", given.epochs, *MODES[name]) for name in given.modes.split(",")
    }
    with tempfile.TemporaryDirectory() as folder:
        print("| what is trained | again, cold | warm cache | other folder | one core of two |")
        print("|---|---|---|---|---|", flush=True)
        for mode, options in modes.items():
            compare(Path(folder), mode, options)
        if given.pairs:
            print("\n| what is trained | CPU s without | with | ratios | weights and figures |")
            print("|---|---|---|---|---|", flush=True)
        for mode, options in modes.items() if given.pairs else ():
            cost(Path(folder), mode, options, given.pairs)


if __name__ == "__main__":
    main()
