"""Which plan is best, on which data? The grid that the freeze policy is fitted to and judged by.

    python scripts/bench_policy.py SETS [--sets a,b] [--per-class 10,40,all] [--seeds 3]
        [--rates 1e-4,3e-4,1e-3] [--size 128] [--shard i/n] [--out docs/data/policy.jsonl]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. For each
set, so many images a class are drawn from train/ by the seed, a fifth of them to validate on, and
all of test/ is tested on. Each plan is then trained as `tl train` would:

- last, multi: the solved head on the last layer, or on several depths joined.
- quarter, half, full: that share of the layers is tuned from the head that `tl train` solves.
- evidence: nothing is trained; what the plan would go by is measured.
- gradual: everything is tuned, at rates that fall a hundredfold from the head to the first block,
  as fastai's fine_tune does it (Howard & Gugger 2020); its frozen epoch is the solved head.

BatchNorm is frozen, augmentation light (four views where a part is frozen), the epochs those of
the plan's size, the same for all plans. One JSON line a run is appended to --out; what stands there
is not run again, so it can be stopped and gone on with. A cell (set, images a class, seed) is one
process. Works with KERAS_BACKEND=jax. scripts/fit_policy.py reads the lines.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

TUNED = {"quarter": "0.75", "half": "half", "full": "full", "gradual": "full"}
PLANS = ("evidence", "last", "multi", *TUNED)
GRADUAL = 0.01  # the first block's rate relative to the head's
VIEWS = 4
SETS = "ants_bees,flowers,trashnet,hand_shapes,sign_digits,fashion_mnist,omniglot_greek"


# -- one cell, in a process of its own -----------------------------------------------------------


def manifest_of(folder: Path, per_class: int | None, seed: int):
    from tl_cli.data.scan import scan
    from tl_cli.data.split import assign_splits, limit
    from tl_cli.store import cache

    found = scan(str(folder), cache=cache.folder())
    return assign_splits(limit(found, None, per_class, seed), seed=seed)


def context_of(manifest, backbone, plan: str, rate: float | None = None):
    from statistics import median

    from tl_cli.config import RunConfig
    from tl_cli.engine.context import RunContext
    from tl_cli.plan import override, recommend

    counts = manifest.counts("train")
    config = RunConfig(
        data=manifest.source,
        head=plan if plan in ("last", "multi") else "auto",
        layer_decay=GRADUAL ** (1 / len(backbone.blocks)) if plan == "gradual" else 1.0,
        views=VIEWS,
    )
    chosen = recommend(
        sum(counts.values()),
        len(counts),
        backbone.blocks,
        backbone=backbone.card.name,
        images_per_class=median(counts.values()),
        similarity=0.5,
        freeze=TUNED.get(plan, "head"),
    )
    return RunContext(config, manifest, backbone, override(chosen, learning_rate=rate), "float32")


def seen(context) -> dict:
    from tl_cli.engine import evidence
    from tl_cli.engine.head import choice
    from tl_cli.results.progress import silent

    layers = evidence.distances(context, silent)
    head = choice.solve(context, choice.look(context, silent))
    return {"evidence": evidence.gather_evidence(context, head, layers).to_json()}


def solved(context) -> dict:
    from tl_cli.engine.head import choice
    from tl_cli.results.progress import silent

    head = choice.solve(context, choice.look(context, silent))
    return {"head": head.kind, "test_accuracy": accuracy(context, head.probabilities, "test")} | {
        "val_accuracy": accuracy(context, head.probabilities, "val"),
        "val_log_loss": log_loss(context, head.probabilities),
        "cv_accuracy": head.head.cv_accuracy,
        "forwards": len(context.manifest.records),
    }


def tuned(context) -> dict:
    from tl_cli.engine.finetune import finetune, flip_check
    from tl_cli.engine.head import choice
    from tl_cli.engine.networks import classifier
    from tl_cli.results.progress import silent

    head = choice.solve(context, choice.look(context, silent))
    context = replace(context, mirror=flip_check.decide(context, head, silent))
    built = classifier.build(context.backbone, context.manifest.classes, head.taps)
    built.set_head(head.head.weights, head.head.bias)
    before = built.model.get_weights()
    done = finetune.tune(context, built, head, silent)
    facts = done.facts
    built.model.set_weights(before)
    head_test = accuracy(context, head.probabilities, "test")
    return {
        "head": head.kind,
        "mirror": context.mirror,
        "epochs": context.plan.epochs,
        "best_epoch": facts.best_epoch,
        "test_accuracy": facts.tuned_test_accuracy,
        "val_accuracy": facts.tuned_accuracy,
        "val_log_loss": facts.tuned_log_loss,
        "val_gain": facts.head_log_loss - facts.tuned_log_loss,
        "val_gain_stderr": facts.gain_stderr,
        "val_log_losses": [round(row["val_log_loss"], 4) for row in done.history],
        "kept": facts.kept,
        "head_test_accuracy": head_test,
        "saved_test_accuracy": facts.tuned_test_accuracy if facts.kept == "tuned" else head_test,
        "forwards": round(forwards(context)),
    }


def forwards(context) -> float:
    """Return the cost in passes of one image through the whole network (a step counts as three)."""
    from tl_cli.engine.context import STEP_COST

    plan, trained = context.plan, 1 - context.plan.frozen_compute_share
    val = len(context.manifest.of("val"))
    looks = (context.views - 1) * plan.size * plan.frozen_compute_share
    epochs = plan.epochs * trained * (plan.size * STEP_COST + val)
    return len(context.manifest.records) + looks + epochs


def accuracy(context, probabilities, split: str) -> float:
    return float((probabilities(split).argmax(1) == context.labels(split)).mean())


def log_loss(context, probabilities) -> float:
    from tl_cli.engine.metrics.figures import log_losses

    return float(log_losses(probabilities("val"), context.labels("val")).mean())


def cell(folder: Path, per_class: int | None, seed: int, size: int, todo: list) -> None:
    """Run what is to be done in one cell and print a JSON line each."""
    from tl_cli import catalog, engine
    from tl_cli.engine.networks import loading

    engine.prepare("float32", seed)
    manifest = manifest_of(folder, per_class, seed)
    backbone = loading.load(catalog.get("efficientnet_lite0"), size)
    for plan, rate in todo:
        start = time.perf_counter()
        context = context_of(manifest, backbone, plan, rate)
        found = (tuned if plan in TUNED else seen if plan == "evidence" else solved)(context)
        counts = {split: len(manifest.of(split)) for split in ("train", "val", "test")}
        seconds = round(time.perf_counter() - start, 1)
        row = counts | {"classes": len(manifest.classes), **found, "seconds": seconds}
        print(json.dumps({"plan": plan, "rate": rate, **row}), flush=True)


# -- all of them ---------------------------------------------------------------------------------


def key(row: dict) -> tuple:
    return tuple(row[name] for name in ("set", "per_class", "seed", "size", "plan", "rate"))


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


def tasks(plans: list[str], rates: list[float]) -> list[tuple[str, float | None]]:
    return [(p, r) for p in plans for r in (rates if p in TUNED else [None])]


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
    parser.add_argument("--rates", default="1e-4,3e-4,1e-3")
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
    wanted = tasks(given.plans.split(","), [float(rate) for rate in given.rates.split(",")])
    for of in cells(given):
        todo = [task for task in wanted if (*of, given.size, *task) not in done]
        if todo:
            print(f"{of}: {len(todo)} runs", file=sys.stderr, flush=True)
            run(given, of, todo)


if __name__ == "__main__":
    main()
