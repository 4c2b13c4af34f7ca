"""What would another head gain: a kernel in place of a line, mirror images beside the images?

    python scripts/bench_heads.py SETS [--sets a,b] [--size 128] [--out FILE]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. On the
features of the pretrained network (stage `head`), and on those of the network tuned as a whole
(stage `again`), three heads are solved on training and validation images together and asked about
the test images:

- linear: what `tl train` saves.
- kernel: ridge regression with a Gaussian kernel on the same features, its width and strength by
  five folds (Saunders et al. 1998; the width in units of the median distance).
- mirror: linear, on the mean features of each image and its mirror image, the test images' too;
  only where `tl train` would mirror.

One JSON line a set and stage is appended to --out; what stands there is not run again.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from bench_policy import SETS, manifest_of
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import StratifiedKFold

from tl_cli import config
from tl_cli.engine import features, recommend_freeze
from tl_cli.engine.context import RunContext, prepare
from tl_cli.engine.finetune import candidates, flip_check, settings
from tl_cli.engine.finetune.finetune import softened
from tl_cli.engine.finetune.fit import fit
from tl_cli.engine.finetune.state import assign, copies
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.head import choice
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.results.progress import silent

WIDTHS, STRENGTHS, FOLDS = (0.25, 0.5, 1, 2, 4), (1e-3, 1e-2, 1e-1, 1.0, 10.0), 5
HELD = ("train", "val", "test")


def linear(context: RunContext, head: SolvedHead) -> float:
    """Return the test accuracy of the refit head, as it is saved."""
    return right(context, choice.refit(context, head).probabilities(head.features["test"]))


def right(context: RunContext, scores: np.ndarray) -> float:
    return round(float((scores.argmax(1) == context.labels("test")).mean()), 5)


def kernel(context: RunContext, head: SolvedHead) -> float:
    """Return the test accuracy of kernel ridge regression on what the head sees."""
    train, test = even(head)
    labels = context.labels("train", "val")
    targets = np.eye(len(context.classes))[labels]
    between = euclidean_distances(train, squared=True)
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(train, labels))
    median = np.median(between)

    def answers(width: float, strength: float, fit_on, asked_of) -> np.ndarray:
        """Return the scores [m, C] of the images whose distances to all are `asked_of` [m, n]."""
        mean = targets[fit_on].mean(0)
        gram = np.exp(-between[np.ix_(fit_on, fit_on)] * width / median)
        gram[np.diag_indices_from(gram)] += strength
        dual = np.linalg.solve(gram, targets[fit_on] - mean)
        return np.exp(-asked_of[:, fit_on] * width / median) @ dual + mean

    def error(width: float, strength: float) -> float:
        return sum(
            ((answers(width, strength, kept, between[held]) - targets[held]) ** 2).sum()
            for kept, held in folds
        )

    best = min(((w, s) for w in WIDTHS for s in STRENGTHS), key=lambda pair: error(*pair))
    asked = euclidean_distances(test, train, squared=True)
    return right(context, answers(*best, np.arange(len(labels)), asked))


def even(head: SolvedHead) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of training and validation, and of test, each depth of one spread."""
    both = np.concatenate([head.features["train"], head.features["val"]])
    edges = np.cumsum(head.widths)[:-1]
    spreads = [
        np.sqrt(((part - part.mean(0)) ** 2).sum(1).mean())
        for part in np.split(both, edges, axis=1)
    ]
    divisors = np.repeat(spreads, head.widths)
    return both / divisors, head.features["test"] / divisors


def mirrored(context: RunContext, head: SolvedHead, model) -> float:
    """Return the test accuracy of a head solved and asked on means over image and mirror image.

    `model`: from images [n, H, W, 3] to the pooled outputs at all of `context.taps`.
    """
    means = {}
    for split in HELD:
        images = features.images(context.manifest.of(split), context.backbone.image_size)
        views = [model.predict(x, batch_size=32, verbose=0) for x in (images, images[:, :, ::-1])]
        means[split] = np.mean(views, axis=0, dtype="float32")
    return linear(context, choice.solve_on(context, means))


def rows(context: RunContext):
    """Yield a row for the head before the tuning, and one for the head solved again after it."""
    head = choice.solve(context, choice.extract(context, silent))
    mirror = flip_check.decide(context, head, silent)

    def row(stage: str, solved: SolvedHead, classifier) -> dict:
        start = time.process_time()
        figures = {"stage": stage, "linear": linear(context, solved)}
        figures["kernel"] = kernel(context, solved)
        seconds = round(time.process_time() - start, 1)
        pooled = classifier.pooled_model(0, (), context.taps)
        figures["mirror"] = mirrored(context, solved, pooled) if mirror else None
        return figures | {"heads_cpu_seconds": seconds}

    classifier = softened(context, head)
    yield row("head", head, classifier)
    plan = recommend_freeze.recommend(context, None, freeze="full")
    chosen = settings.decide(context, plan, mirror=mirror)
    data, before = TrainingData(context, chosen, silent), copies(classifier.model.weights)
    fitted = fit(context, chosen, classifier, data, silent)
    assign(classifier.model.weights, fitted.best.last)
    again = candidates.candidates(context, classifier, fitted.model, data, head, before)[-1].solved
    assert again  # the last candidate is the head solved again
    yield row("again", again, classifier)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("docs/data/heads.jsonl"))
    given = parser.parse_args()
    if not given.where:
        parser.error("give the folder of sets, or set TL_SETS")
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    done = {(row["set"], row["size"]) for row in map(json.loads, lines) if row["stage"] == "again"}
    for name in given.sets.split(","):
        if (name, given.size) in done:
            continue
        manifest = manifest_of(given.where / name, None, 0)
        flags = {"data": manifest.source, "seed": 0, "image_size": given.size}
        for row in rows(prepare(config.load(flags=flags), manifest)):
            line = {"set": name, "size": given.size, "images": len(manifest.of("train")), **row}
            with given.out.open("a") as out:
                out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
