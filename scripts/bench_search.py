"""What embeddings are worth: are the images that a search names of the query's own class, how fast?

    python scripts/bench_search.py SETS [--sets a,b] [--size 128]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. For each
set: the share of the test images whose nearest training image, and on average how many of whose
nearest ten, have their class; beside it the accuracy of the solved head. Then how long an exact
search of random features takes, by the number of images. Prints Markdown tables.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from bench_policy import SETS, manifest_of

from tl_cli import config
from tl_cli.engine.context import prepare
from tl_cli.engine.head import choice
from tl_cli.results.progress import silent

TOP, WIDTH, NUMBERS = 10, 1280, (1_000, 10_000, 100_000)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def row(where: Path, name: str, size: int) -> str:
    manifest = manifest_of(where / name, None, 0)
    flags = {"data": manifest.source, "seed": 0, "image_size": size}
    context = prepare(config.load(flags=flags), manifest)
    rows = choice.extract(context, silent)
    head = choice.solve(context, rows)
    last = choice.by_split(context, rows.array()[:, -context.widths(context.taps)[-1] :])
    labels, asked = context.labels("train"), context.labels("test")
    likeness = unit(last["test"][:]) @ unit(last["train"][:]).T
    best = labels[np.argsort(-likeness, axis=1, kind="stable")[:, :TOP]] == asked[:, None]
    right = (head.probabilities("test").argmax(1) == asked).mean()
    cells = (f"{best[:, 0].mean():.3f}", f"{best.mean():.3f}", f"{right:.3f}")
    return f"| {name} | {len(context.classes)} | {len(labels):,} | {' | '.join(cells)} |"


def seconds(number: int) -> float:
    """Return how long it takes to find the ten nearest of so many for one query."""
    rng = np.random.default_rng(0)
    rows = unit(rng.standard_normal((number, WIDTH), dtype="float32"))
    start = time.perf_counter()
    likeness = rows[:1] @ rows.T
    np.argsort(-likeness, axis=1, kind="stable")[:, :TOP]
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--size", type=int, default=128)
    given = parser.parse_args()
    if not given.where:
        parser.error("give the folder of sets, or set TL_SETS")
    print("| set | classes | training images | nearest right | of ten, right | solved head |")
    print("|---|---|---|---|---|---|")
    for name in given.sets.split(","):
        print(row(given.where, name, given.size), flush=True)
    print("\n| images | seconds a query |\n|---|---|")
    for number in NUMBERS:
        print(f"| {number:,} | {seconds(number):.4f} |", flush=True)


if __name__ == "__main__":
    main()
