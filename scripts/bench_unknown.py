"""Which score tells images that are unlike everything in a set, and at what rate of false alarms?

    python scripts/bench_unknown.py SETS [--sets a,b] [--size 128] [--out FILE]
    python scripts/bench_unknown.py --table [--out FILE]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. Each set's
images pass EfficientNet-Lite0 once. Strangers to a set are the test images of each other set, and,
as the harder case, of classes of its own that were left out of the training (a third of them, three
times over; not where there are two). One JSON line a set, score and stranger:

- auroc: that a stranger's score is above a known test image's;
- missed: the share of strangers that pass where 95 % of the known test images are kept.

And for the score that `tl train` saves, as it saves it, one line a set, number of training images a
class and stranger: `false_alarms`, the share of known test images beyond its threshold, and
`caught`, the share of strangers. --table prints Markdown.
"""

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from bench_policy import SETS, manifest_of
from scipy.linalg import eigh
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.metrics import roc_auc_score

from tl_cli import config
from tl_cli.engine import unknown
from tl_cli.engine.context import prepare
from tl_cli.engine.head import choice, join, solve
from tl_cli.engine.head.ridge import one_thread
from tl_cli.results.progress import silent

KEPT, ROUNDS = 0.95, 3
A_CLASS = (10, 40, None)  # training images; None: all
CHOSEN = "Mahalanobis, unit length"
Scores = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Seen:
    """The features of a set, float32 [n, D], and its labels, numbers from 0."""

    widths: tuple[int, ...]
    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    asked: np.ndarray  # labels of the test images


def seen(folder: Path, size: int) -> Seen:
    manifest = manifest_of(folder, None, 0)
    flags = {"data": manifest.source, "seed": 0, "image_size": size}
    context = prepare(config.load(flags=flags), manifest)
    head = choice.solve(context, choice.extract(context, silent))
    both = np.concatenate([head.features["train"][:], head.features["val"][:]])
    labels, asked = context.labels("train", "val"), context.labels("test")
    return Seen(head.widths, both, labels, head.features["test"][:], asked)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def mahalanobis(rows: np.ndarray, labels: np.ndarray) -> Scores:
    """Return squared distances to the nearest of the labels' means, shrunk as Ledoit-Wolf say."""
    means = np.stack([rows[labels == i].mean(0) for i in np.unique(labels)])
    residuals = rows - means[np.unique(labels, return_inverse=True)[1]]
    shrinkage = ledoit_wolf_shrinkage(residuals, assume_centered=True)
    # by the Gram matrix of the rows, which are fewer than the columns: the same inverse
    values, vectors = eigh(residuals @ residuals.T / len(rows))
    values, vectors = values[values > 1e-9 * values[-1]], vectors[:, values > 1e-9 * values[-1]]
    directions = residuals.T @ vectors / np.sqrt(values * len(rows))
    floor = shrinkage * (residuals**2).mean()
    root = directions * np.sqrt(1 / floor - 1 / ((1 - shrinkage) * values + floor))

    def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T

    def scores(x: np.ndarray) -> np.ndarray:
        return (squares(x, means) / floor - squares(x @ root, means @ root)).min(1)

    return scores


def neighbour(rows: np.ndarray, k: int) -> Scores:
    """Return how far the k-th nearest training image is, by cosine (Sun et al. 2022)."""
    units = unit(rows)
    return lambda x: -np.sort(unit(x) @ units.T, axis=1)[:, -min(k, len(units))]


def methods(data: Seen) -> dict[str, Scores]:
    """Return each score, the higher the stranger, of features as they are."""
    edges = np.cumsum(data.widths)[:-1]
    joined, scales = join(np.split(data.train, edges, axis=1))
    own = unknown.fit(data.train, data.labels, data.widths)
    assert own
    head = solve(joined, data.labels, int(data.labels.max()) + 1)
    plain, total = (
        mahalanobis(joined.astype("float64"), y) for y in (data.labels, np.zeros(len(joined)))
    )

    def logits(x: np.ndarray) -> np.ndarray:
        return x @ head.weights + head.bias

    on_joined: dict[str, Scores] = {
        "Mahalanobis": plain,
        "relative Mahalanobis": lambda x: plain(x) - total(x),
        **{f"neighbour {k}, cosine": neighbour(joined, k) for k in (1, 5, 10)},
        "energy": lambda x: -logsumexp(logits(x), axis=1),
        "maximum logit": lambda x: -logits(x).max(1),
        "maximum probability": lambda x: -head.probabilities(x).max(1),
    }
    last = neighbour(data.train[:, -data.widths[-1] :], 1)
    return {
        CHOSEN: own.distances,
        **{name: divided(f, scales) for name, f in on_joined.items()},
        "neighbour 1, last map": lambda x: last(x[:, -data.widths[-1] :]),
    }


def divided(scores: Scores, scales: np.ndarray) -> Scores:
    return lambda x: scores(x / scales)


def judged(known: np.ndarray, strange: np.ndarray) -> dict[str, float]:
    labels = np.repeat([0, 1], [len(known), len(strange)])
    area = roc_auc_score(labels, np.concatenate([known, strange]))
    missed = (strange <= np.quantile(known, KEPT)).mean()
    return {"auroc": round(float(area), 4), "missed": round(float(missed), 4)}


def without(data: Seen, hidden: np.ndarray) -> Seen:
    """Return a set without some classes: they are the strangers."""
    keep = ~np.isin(data.labels, hidden)
    labels = np.unique(data.labels[keep], return_inverse=True)[1]
    test = data.test[~np.isin(data.asked, hidden)]
    return replace(data, train=data.train[keep], labels=labels, test=test)


def thirds(classes: int) -> Iterator[np.ndarray]:
    """Yield the classes that are hidden, each of a third of them once."""
    if classes > 2:
        yield from np.array_split(np.random.default_rng(0).permutation(classes), ROUNDS)


def compared(name: str, sets: dict[str, Seen]) -> Iterator[dict]:
    data = sets[name]
    for method, scores in methods(data).items():
        known = scores(data.test)
        for other in sets.keys() - {name}:
            figures = judged(known, scores(sets[other].test))
            yield {"set": name, "score": method, "stranger": other, **figures}
    for number, hidden in enumerate(thirds(int(data.labels.max()) + 1)):
        rest = without(data, hidden)
        strange = data.test[np.isin(data.asked, hidden)]
        for method, scores in methods(rest).items():
            figures = judged(scores(rest.test), scores(strange))
            yield {"set": name, "score": method, "stranger": f"own classes {number}", **figures}


def thresholds(name: str, sets: dict[str, Seen]) -> Iterator[dict]:
    data, rng = sets[name], np.random.default_rng(0)
    for a_class in A_CLASS:
        drawn = [rng.permutation(np.flatnonzero(data.labels == i)) for i in np.unique(data.labels)]
        kept = np.concatenate([own[:a_class] for own in drawn])
        score = unknown.fit(data.train[kept], data.labels[kept], data.widths)
        assert score
        alarms = float((score.scores(data.test) > 1).mean())
        for other in sets.keys() - {name}:
            caught = float((score.scores(sets[other].test) > 1).mean())
            row = {"set": name, "a_class": a_class, "images": len(kept), "stranger": other}
            yield row | {"false_alarms": round(alarms, 4), "caught": round(caught, 4)}


def table(rows: list[dict]) -> None:
    """Print the means over sets, and the worst pair."""
    print("| score | other sets: AUROC | worst | missed | own classes: AUROC | worst | missed |")
    print("|---|---|---|---|---|---|---|")
    by = defaultdict(list)
    for row in rows:
        if "score" in row:
            by[row["score"]].append(row)
    means = {}
    for score, own in by.items():
        cells = []
        for near in (False, True):
            part = [row for row in own if row["stranger"].startswith("own classes") == near]
            areas = [row["auroc"] for row in part]
            missed = np.mean([row["missed"] for row in part])
            cells += [f"{np.mean(areas):.3f}", f"{min(areas):.3f}", f"{missed:.3f}"]
        means[score] = cells
    for score, cells in sorted(means.items(), key=lambda pair: pair[1][0], reverse=True):
        print(f"| {score} | {' | '.join(cells)} |")
    print("\n| set | images a class | false alarms | caught, mean | least caught | of |")
    print("|---|---|---|---|---|---|")
    pairs = defaultdict(list)
    for row in rows:
        if "caught" in row:
            pairs[row["set"], row["a_class"] or "all"].append(row)
    for (name, a_class), own in pairs.items():
        least = min(own, key=lambda row: row["caught"])
        mean = np.mean([row["caught"] for row in own])
        figures = f"{own[0]['false_alarms']:.3f} | {mean:.3f} | {least['caught']:.3f}"
        print(f"| {name} | {a_class} | {figures} | {least['stranger']} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("docs/data/unknown.jsonl"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        table([json.loads(line) for line in given.out.read_text().splitlines()])
        return
    if not given.where:
        parser.error("give the folder of sets, or set TL_SETS")
    sets = {name: seen(Path(given.where) / name, given.size) for name in given.sets.split(",")}
    with given.out.open("w") as out, one_thread():
        for name in sets:
            for row in (*compared(name, sets), *thresholds(name, sets)):
                out.write(json.dumps(row) + "\n")
            print(name, flush=True)


if __name__ == "__main__":
    main()
