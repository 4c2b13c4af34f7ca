"""Which plan is best, on which data? The grid that the freeze policy is fitted to and judged by.

    python scripts/bench_policy.py SETS [--sets a,b] [--per-class 10,40,all] [--seeds 2]
        [--plans head,half,full,quarter] [--variants as-is,layer_decay=0.9]
        [--size 128] [--out FILE]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. For each
set, so many images a class are drawn from train/ by the seed, a fifth of them to validate on, and
all of test/ is tested on. Each plan is then carried out as `tl train` does it:

- head: solved in closed form, before and after its refit; with it, what a policy can go by.
- quarter, half, full: that share of the layers is tuned from the softened head, and each candidate
  (tuned, solved again) is measured on the test images,
  though only validation decides which is kept.

A variant is the plan with other options of the configuration: `learning_rate=0.001`,
`augment=none+layer_decay=0.9`; `as-is` is the plan's own.

One JSON line a run is appended to --out; what stands there is not run again, so it can be stopped
and gone on with. A cell (set, images a class, seed) is one process. Works with KERAS_BACKEND=jax.
scripts/fit_policy.py reads the lines.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

TUNED = {"quarter": "0.75", "half": "half", "full": "full"}
AS_IS = "as-is"
PLANS = ("head", "half", "full", "quarter")
SETS = "ants_bees,flowers,trashnet,hand_shapes,sign_digits,fashion_mnist,omniglot_greek"


# -- one cell, in a process of its own -----------------------------------------------------------


def manifest_of(folder: Path, per_class: int | None, seed: int):
    from tl_cli.data.scan import scan
    from tl_cli.data.split import assign_splits
    from tl_cli.data.subset import limit
    from tl_cli.store import cache_folder

    scanned = scan(str(folder), cache=cache_folder.usable())
    return assign_splits(limit(scanned, None, per_class, seed), seed=seed)


def solved(context) -> dict:
    """Return what the head alone comes to, by kind, and what the plan would go by."""
    from tl_cli.engine import evidence
    from tl_cli.engine.head import choice
    from tl_cli.engine.head.linear_head import of_one_label
    from tl_cli.engine.head.row_blocks import columns
    from tl_cli.results.progress import silent

    start = time.process_time()
    layers = evidence.batchnorm_distances(context, silent)
    rows = choice.extract(context, silent)
    head = choice.solve(context, rows)
    seconds = time.process_time() - start
    refit = choice.refit(context, head)
    seen = evidence.gather_evidence(context, rows, head, layers)
    width = context.widths(context.taps)[-1]
    last = head.candidates["last"].probabilities(
        columns(choice.by_split(context, rows.array())["test"], slice(-width, None))
    )
    return {
        "head": head.kind,
        "evidence": seen.to_json(),
        "last": figures(context, last),
        "solved": figures(context, head.probabilities("test")),
        "refit": figures(context, refit.probabilities(head.features["test"])),
        "val_accuracy": float(
            (head.probabilities("val").argmax(1) == context.labels("val")).mean()
        ),
        "cv_accuracy": of_one_label(head.head).cv_accuracy,
        "cpu_seconds": round(seconds, 1),
    }


def tuned(context, freeze: str) -> dict:
    """Return what each candidate comes to after tuning from a freeze ratio."""
    from tl_cli.engine import recommend_freeze
    from tl_cli.engine.finetune import candidates, flip_check, settings
    from tl_cli.engine.finetune.finetune import softened
    from tl_cli.engine.finetune.fit import fit
    from tl_cli.engine.finetune.state import assign, copies
    from tl_cli.engine.finetune.training_data import TrainingData
    from tl_cli.engine.head import choice
    from tl_cli.results.progress import silent

    head = choice.solve(context, choice.extract(context, silent))
    start = time.process_time()
    plan = recommend_freeze.recommend(context, None, freeze=freeze)
    chosen = settings.decide(context, plan, mirror=flip_check.decide(context, head, silent))
    data, classifier = TrainingData(context, chosen, silent), softened(context, head)
    before = copies(classifier.model.weights)
    fitted = fit(context, chosen, classifier, data, silent)
    assign(classifier.model.weights, fitted.best.last)
    tried = candidates.candidates(context, classifier, fitted.model, data, head, before)
    best, gain, error = candidates.choose(context, plan, tried[0], tried[-1])
    seconds = time.process_time() - start
    rows = [candidate_row(context, tried[0], each) for each in tried]
    classifier.model.set_weights(before)
    saved = next(row for row in rows if row["name"] == best.name)
    return {
        "head": head.kind,
        "mirror": chosen.mirror,
        "freeze_ratio": plan.freeze_ratio,
        "rate": plan.learning_rate,
        "epochs": plan.epochs,
        "best_epoch": fitted.best.epoch,
        "val_gain": gain,
        "val_gain_stderr": error,
        "kept": best.name,
        "saved": saved["refit"],
        "candidates": rows,
        "val_log_losses": [round(row["val_log_loss"], 4) for row in fitted.best.history],
        "val_accuracies": [round(row["val_accuracy"], 4) for row in fitted.best.history],
        "forwards": round(forwards(context, chosen, len(fitted.best.history))),
        "cpu_seconds": round(seconds, 1),
    }


def candidate_row(context, head, candidate) -> dict:
    """Return a candidate's figures on validation, and on the test images before and after refit."""
    import numpy as np
    from scipy.special import softmax

    from tl_cli.engine.finetune import candidates
    from tl_cli.engine.finetune.validation import calibrated
    from tl_cli.engine.head import choice
    from tl_cli.engine.head.linear_head import fit_temperature
    from tl_cli.engine.metrics.figures import log_losses
    from tl_cli.engine.tuning import accuracy

    labels = context.labels("val")
    losses, of_head = (
        log_losses(calibrated(context, each.scores["val"]), labels) for each in (candidate, head)
    )
    plain = candidate.name == candidates.HEAD
    temperature = 1.0 if plain else fit_temperature(candidate.scores["val"], labels)
    before = softmax(candidate.scores["test"] / temperature, axis=1)
    after = before
    if candidate.solved:
        refit = choice.refit(context, candidate.solved, temperature)
        after = refit.probabilities(candidate.solved.features["test"])
    return {
        "name": candidate.name,
        "val_log_loss": float(losses.mean()),
        "val_accuracy": accuracy(candidate.scores["val"], labels),
        "gain_stderr": float(np.std(of_head - losses, ddof=1) / np.sqrt(len(labels))),
        "plain": figures(context, before),
        "refit": figures(context, after),
    }


def figures(context, probabilities) -> dict:
    """Return accuracy, log loss and calibration error on the test images."""
    from tl_cli.engine.metrics.figures import log_losses
    from tl_cli.results.calibration import reliability

    labels = context.labels("test")
    right = probabilities.argmax(1) == labels
    return {
        "accuracy": round(float(right.mean()), 5),
        "log_loss": round(float(log_losses(probabilities, labels).mean()), 5),
        "ece": round(reliability(probabilities.max(1).tolist(), right.tolist()).ece, 5),
    }


def forwards(context, settings, epochs: int) -> float:
    """Return the cost in passes of one image through the whole network (a step counts as three)."""
    from tl_cli.engine.finetune.settings import STEP_COST

    plan, trained = settings.plan, 1 - settings.plan.frozen_compute_share
    val = len(context.manifest.of("val"))
    views = (settings.views - 1) * plan.size * plan.frozen_compute_share
    return len(context.manifest.records) + views + epochs * trained * (plan.size * STEP_COST + val)


def cell(folder: Path, per_class: int | None, seed: int, size: int, todo: list) -> None:
    """Run what is to be done in one cell and print a JSON line each."""
    from tl_cli import config
    from tl_cli.engine.context import prepare

    manifest = manifest_of(folder, per_class, seed)
    counts = {split: len(manifest.of(split)) for split in ("train", "val", "test")}
    flags = {"data": manifest.source, "seed": seed, "image_size": size}
    for plan, variant in todo:
        start = time.perf_counter()
        sets = variant.split("+") if variant != AS_IS else ()
        context = prepare(config.load(sets=sets, flags=flags), manifest)
        row = solved(context) if plan == "head" else tuned(context, TUNED[plan])
        seconds = round(time.perf_counter() - start, 1)
        row = {"classes": len(manifest.classes), **counts, **row, "seconds": seconds}
        row["pooling"] = context.config.pooled
        print(json.dumps({"plan": plan, "variant": variant, **row}), flush=True)


# -- all of them ---------------------------------------------------------------------------------


def key(row: dict) -> tuple:
    return tuple(row[name] for name in ("set", "per_class", "seed", "size", "plan", "variant"))


def cells(given: argparse.Namespace) -> list[tuple]:
    """Return (set, images a class, seed), seed by seed, so that what fits is a whole round."""
    per_class = [None if n == "all" else int(n) for n in given.per_class.split(",")]
    found = [
        (name, n, seed)
        for seed in range(given.seeds)
        for n in per_class
        for name in given.sets.split(",")
    ]
    part, of = map(int, given.shard.split("/"))
    return found[part::of]


def tasks(plans: list[str], variants: list[str]) -> list[tuple[str, str]]:
    return [(p, v) for p in plans for v in (variants if p in TUNED else [AS_IS])]


def run(given: argparse.Namespace, of: tuple, todo: list) -> None:
    name, per_class, seed = of
    command = [sys.executable, __file__, str(given.where), "--size", str(given.size)]
    command += ["--cell", json.dumps([name, per_class, seed, todo])]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        given.out.open("a") as out,
    ):
        for line in process.stdout or ():
            row = {"set": name, "per_class": per_class, "seed": seed, "size": given.size}
            out.write(json.dumps(row | json.loads(line)) + "\n")
            out.flush()
    if process.returncode:
        raise SystemExit(f"{of} ended with {process.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--per-class", default="10,40,all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plans", default=",".join(PLANS))
    parser.add_argument("--variants", default=AS_IS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--shard", default="0/1", metavar="i/n")
    parser.add_argument("--out", type=Path, default=Path("docs/data/policy.jsonl"))
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.where:
        parser.error("give the folder of sets, or set TL_SETS")
    if given.cell:
        name, per_class, seed, todo = json.loads(given.cell)
        cell(Path(given.where) / name, per_class, seed, given.size, todo)
        return
    given.out.parent.mkdir(parents=True, exist_ok=True)
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    done = {key(json.loads(line)) for line in lines}
    wanted = tasks(given.plans.split(","), given.variants.split(","))
    for of in cells(given):
        todo = [task for task in wanted if (*of, given.size, *task) not in done]
        if todo:
            print(f"{of}: {len(todo)} runs", file=sys.stderr, flush=True)
            run(given, of, todo)


if __name__ == "__main__":
    main()
