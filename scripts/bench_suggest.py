"""How many labels does choosing them save? Rounds of labelling, simulated, against random choice.

    python scripts/bench_suggest.py SETS [--sets a,b] [--size 128] [--out FILE]
    python scripts/bench_suggest.py --table [--out FILE]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. A set's
training images are the pool, their labels hidden until they are asked for. After each round of 10
or 20 labels a head is solved on those that are known, and asked about the test images. Ways:

- random: all rounds at random;
- margin: the first at random, then those of the smallest margin;
- k-center: the first at random, then one by one the image with the greatest product of its doubt (1
  - margin) and its squared distance to all that are labelled or chosen;
- suggest: what `tl suggest` does: typical images first, then k-means weighted by doubt;
- typical, random: its first round, then at random: what the first round alone is worth.

One JSON line a set, way, size of round and seed: accuracy after each round. --table prints them as
Markdown.
"""

import argparse
import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
from bench_policy import manifest_of

from tl_cli import config
from tl_cli.engine.context import prepare
from tl_cli.engine.head import choice, join, solve
from tl_cli.engine.head.ridge import one_thread
from tl_cli.engine.suggest_selection import doubtful, typical
from tl_cli.results.progress import silent

SETS = "flowers,trashnet,sign_digits,fashion_mnist,omniglot_greek"
WAYS = ("random", "margin", "k-center", "suggest", "typical, random")
BATCHES, ROUNDS, SEEDS = (10, 20), 6, (0, 1, 2)


class Simulation:
    """A pool whose labels are asked for, and test images: features [n, D] and labels [n]."""

    def __init__(self, pool, labels, test, asked) -> None:
        self.pool, self.labels, self.test, self.asked = pool, labels, test, asked
        self.units = pool / np.linalg.norm(pool, axis=1, keepdims=True)

    def solved(self, known: np.ndarray):
        """Return the probabilities of a head on the known labels, and its classes."""
        names, numbers = np.unique(self.labels[known], return_inverse=True)
        if len(names) == 1:
            return lambda rows: np.ones((len(rows), 1)), names
        return solve(self.pool[known], numbers, len(names)).probabilities, names

    def accuracies(self, way: str, batch: int, seed: int) -> list[float]:
        rng = np.random.default_rng(seed)
        known = self.first(way, batch, seed, rng)
        found = []
        for number in range(ROUNDS):
            probabilities, names = self.solved(known)
            right = names[probabilities(self.test).argmax(1)] == self.asked
            found.append(round(float(right.mean()), 4))
            if number < ROUNDS - 1:
                rest = np.setdiff1d(np.arange(len(self.pool)), known)
                chosen = self.next(way, rest, known, probabilities, batch, seed, rng)
                known = np.concatenate([known, rest[chosen]])
        return found

    def first(self, way: str, batch: int, seed: int, rng) -> np.ndarray:
        if way in ("suggest", "typical, random"):
            return typical(self.units, batch, seed).chosen
        return rng.permutation(len(self.pool))[:batch]

    def next(self, way: str, rest, known, probabilities, batch: int, seed: int, rng) -> np.ndarray:
        """Return which of the images that are left are labelled next."""
        if way in ("random", "typical, random"):
            return rng.permutation(len(rest))[:batch]
        p = np.sort(probabilities(self.pool[rest]), axis=1)
        margins = p[:, -1] - (p[:, -2] if p.shape[1] > 1 else 0)
        if way == "margin":
            return np.argsort(margins, kind="stable")[:batch]
        if way == "suggest":
            return doubtful(self.units[rest], margins, batch, seed).chosen
        return self.centres(rest, known, 1 - margins, batch)

    def centres(self, rest, known, doubt, batch: int) -> np.ndarray:
        rows, chosen = self.units[rest], list[int]()
        apart = (2 - 2 * rows @ self.units[known].T).min(1)
        for _ in range(batch):
            worth = np.maximum(apart, 0) * doubt
            worth[chosen] = -1
            chosen.append(int(worth.argmax()))
            apart = np.minimum(apart, 2 - 2 * rows @ rows[chosen[-1]])
        return np.array(chosen)


def simulation(folder: Path, size: int) -> Simulation:
    manifest = manifest_of(folder, None, 0)
    flags = {"data": manifest.source, "seed": 0, "image_size": size}
    context = prepare(config.load(flags=flags), manifest)
    rows = choice.extract(context, silent).array()
    widths = context.widths(context.taps)
    pooled = choice.by_split(context, rows[:, -sum(widths) :])
    both = np.concatenate([pooled["train"][:], pooled["val"][:]])
    pool, scales = join(np.split(both, np.cumsum(widths)[:-1], axis=1))
    labels, asked = context.labels("train", "val"), context.labels("test")
    return Simulation(pool, labels, pooled["test"][:] / scales, asked)


def table(rows: list[dict]) -> None:
    """Print accuracy by labels, the mean over sets and seeds; then by set."""
    by = defaultdict(list)
    for row in rows:
        by["all", row["batch"], row["way"]].append(row["accuracy"])
        by[row["set"], row["batch"], row["way"]].append(row["accuracy"])
    for name in dict.fromkeys(name for name, _, _ in by):
        for batch in BATCHES:
            labels = [batch * number for number in range(1, ROUNDS + 1)]
            print(f"\n{name}, rounds of {batch}\n\n| way | {' | '.join(map(str, labels))} |")
            print("|---" * (ROUNDS + 1) + "|")
            for way in WAYS:
                means = np.mean(by[name, batch, way], axis=0)
                print(f"| {way} | {' | '.join(f'{mean:.3f}' for mean in means)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("docs/data/suggest.jsonl"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        table([json.loads(line) for line in given.out.read_text().splitlines()])
        return
    if not given.where:
        parser.error("give the folder of sets, or set TL_SETS")
    with given.out.open("w") as out, one_thread():
        for name in given.sets.split(","):
            simulated = simulation(Path(given.where) / name, given.size)
            for batch in reversed(BATCHES):
                for way in WAYS:
                    for seed in SEEDS:
                        accuracy = simulated.accuracies(way, batch, seed)
                        row = {"set": name, "way": way, "batch": batch, "seed": seed}
                        out.write(json.dumps(row | {"accuracy": accuracy}) + "\n")
                        out.flush()


if __name__ == "__main__":
    main()
