"""What the networks behind it are worth: depth, shortcuts, auxiliary heads, 1x1, transfer.

    python scripts/bench_networks.py [SETS] [--only depth,digits] [--out FILE.jsonl] [--table]

Every run is the command itself in a process of its own with an empty cache. One JSON line a run is
appended to --out, and runs that stand there are not made again. Prints Markdown tables; --table
prints those of what is there and runs nothing. SETS is a folder of <set>/{train,test}/<class>/*
(TL_SETS where it is not given), for `transfer` alone.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

DIGITS = ("--data", "sample:digits", "--image-size", 32)
SCRATCH = ("--from-scratch", "--mirror", "no")
FEW = ("--limit", 500)
FROM_SCRATCH = ("--from-scratch", "--mirror", "yes", "--epochs", 30)


def depth(name):
    return (*DIGITS, *SCRATCH, *FEW, "--backbone", name, "--epochs", 8, "--gradient-flow")


def experiments(sets: str | None) -> dict[str, dict[str, tuple]]:
    """Return by experiment, by name of the run, the arguments of `tl train`."""
    found = {
        "digits": {"resnet18": (*DIGITS, *SCRATCH, "--backbone", "resnet18", "--epochs", 10)},
        "depth": {name: depth(name) for name in ("plain34", "resnet34")},
        "inception": {
            name: (*DIGITS, *SCRATCH, "--backbone", backbone, "--epochs", 12, *more)
            for name, backbone, more in (
                ("reduced modules", "googlenet", ()),
                ("reduced, two auxiliary heads", "googlenet", ("--aux-heads", 2)),
                ("naive modules", "googlenet_naive", ()),
            )
        },
    }
    if sets:
        flowers = ("--data", f"{sets}/flowers", "--image-size", 64)
        found["transfer"] = {
            f"{way}, {few or 'all'} a class": (
                *flowers,
                *(("--limit-per-class", few) if few else ()),
                *(FROM_SCRATCH if way == "scratch" else ("--freeze", "head")),
            )
            for few in (10, 40, None)
            for way in ("transfer", "scratch")
        }
    return found


def tl(*arguments: object, cache: str) -> dict:
    command = [sys.executable, "-m", "tl_cli", *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "TL_CACHE": cache}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def rows(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def measure(experiment: str, name: str, arguments: tuple) -> dict:
    with tempfile.TemporaryDirectory() as work:
        run = Path(work) / "run"
        start = time.perf_counter()
        told = tl("train", *arguments, "--no-report", "--output", run, cache=f"{work}/cache")
        wall = time.perf_counter() - start
        history, gradients = rows(run / "history.csv"), rows(run / "gradients.csv")
    plan, test = told["plan"], told["metrics"]["test"]
    return {
        "experiment": experiment,
        "run": name,
        "train": plan["size"],
        "val": told["metrics"]["val"]["n"],
        "test": test["n"],
        "epochs": plan["epochs"],
        "strategy": plan["strategy"],
        "freeze_ratio": plan["freeze_ratio"],
        "test_accuracy": test["accuracy"],
        "interval": test["intervals"]["accuracy"],
        "test_log_loss": test["log_loss"],
        "trained_parameters": told["trained_parameters"],
        "wall": round(wall, 1),
        "history": [
            {k: round(float(v), 4) for k, v in row.items() if k != "seconds"} for row in history
        ],
        "gradients": by_depth(gradients),
    }


def by_depth(gradients: list[dict]) -> dict[str, list[float]]:
    """Return, for the first, a middle and the last epoch, the gradient of each convolution."""
    if not gradients:
        return {}
    epochs = sorted({int(row["epoch"]) for row in gradients})
    found = {}
    for epoch in (epochs[0], epochs[len(epochs) // 2], epochs[-1]):
        seen: dict[int, list[float]] = {}
        for row in gradients:
            on_the_way = row["kind"] == "Conv2D" and "project" not in row["layer"]
            if int(row["epoch"]) == epoch and on_the_way:
                seen.setdefault(int(row["depth"]), []).append(float(row["rms"]))
        found[str(epoch)] = [statistics.median(seen[d]) for d in sorted(seen)]
    return found


# == tables =======================================================================================


def accuracy(row: dict) -> str:
    low, high = row["interval"]
    return f"{row['test_accuracy']:.3f} ({low:.3f} to {high:.3f})"


def figures(of: dict[str, dict]) -> list[str]:
    lines = [
        "| run | training images | epochs | trained parameters | test accuracy (95 %) | log loss |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in of.items():
        lines.append(
            f"| {name} | {row['train']} | {row['epochs']} | {row['trained_parameters']:,} | "
            f"{accuracy(row)} | {row['test_log_loss']:.3f} |"
        )
    return lines


def curves(of: dict[str, dict]) -> list[str]:
    """Validation accuracy by epoch, the auxiliary heads' own beside it."""
    lines = []
    for name, row in of.items():
        for key in [k for k in row["history"][-1] if k.startswith("val_accuracy")]:
            values = " ".join(f"{epoch[key]:.2f}" for epoch in row["history"] if epoch["epoch"])
            lines.append(f"- {name}, `{key}` by epoch: {values}")
    return lines


def flow(of: dict[str, dict]) -> list[str]:
    """The gradient at the first and last convolutions, by epoch."""
    lines = [
        "| run | epoch | first | second | third | median of all | last | last / first |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in of.items():
        for epoch, sizes in row["gradients"].items():
            cells = [*sizes[:3], statistics.median(sizes), sizes[-1]]
            shown = " | ".join(f"{size:.2g}" for size in cells)
            lines.append(f"| {name} | {epoch} | {shown} | {sizes[-1] / sizes[0]:.3g} |")
    return lines


def ways(of: dict[str, dict]) -> list[str]:
    lines = [
        "| images a class | training images | transfer | from scratch |",
        "|---|---|---|---|",
    ]
    for few in ("10", "40", "all"):
        names = [f"{way}, {few} a class" for way in ("transfer", "scratch")]
        pair = [of[name] for name in names if name in of]
        if len(pair) == len(names):
            lines.append(
                f"| {few} | {pair[0]['train']} | " + " | ".join(map(accuracy, pair)) + " |"
            )
    return lines


TABLES = {
    "digits": (figures, curves),
    "depth": (figures, curves, flow),
    "inception": (figures, curves),
    "transfer": (ways,),
}


def steps_of_modules() -> list[str]:
    """Seconds of a step with naive and reduced modules in turn, the least of several."""
    import keras
    import numpy as np

    from tl_cli import catalog
    from tl_cli.engine.finetune import time_budget
    from tl_cli.engine.networks import loading

    lines = [
        "| network at 32 px | parameters | multiply-adds | seconds a step of 32 |",
        "|---|---|---|---|",
    ]
    x, y = np.random.default_rng(0).uniform(0, 255, (32, 32, 32, 3)), np.eye(10)[np.arange(32) % 10]
    for name in ("googlenet", "googlenet_naive"):
        backbone = loading.load(catalog.get(name), 32, weights=None)
        pooled = keras.layers.GlobalAveragePooling2D()(backbone.model.output)
        model = keras.Model(backbone.model.input, keras.layers.Dense(10)(pooled))
        model.compile("adamw", keras.losses.CategoricalCrossentropy(True), jit_compile=False)
        seconds = time_budget.least_seconds(partial(model.train_on_batch, x, y), times=5)
        adds = sum(block.multiply_adds for block in backbone.blocks)
        parameters = backbone.model.count_params()
        lines.append(f"| {name} | {parameters:,} | {adds / 1e6:,.0f} M | {seconds:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="?", default=os.environ.get("TL_SETS"))
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=Path("docs/data/networks.jsonl"))
    parser.add_argument("--table", action="store_true", help="Run nothing.")
    parser.add_argument("--steps", action="store_true", help="Seconds of a step of the modules.")
    given = parser.parse_args()
    if given.steps:
        print("\n".join(steps_of_modules()))
        return
    found = (
        [json.loads(text) for text in given.out.read_text().splitlines()]
        if given.out.exists()
        else []
    )
    only = [name for name in given.only.split(",") if name]
    for experiment, runs in experiments(given.sets).items():
        for name, arguments in runs.items():
            known = any((r["experiment"], r["run"]) == (experiment, name) for r in found)
            if known or given.table or (only and experiment not in only):
                continue
            found.append(measure(experiment, name, arguments))
            with given.out.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
            print(experiment, name, accuracy(found[-1]), file=sys.stderr, flush=True)
    for experiment, tables in TABLES.items():
        of = {r["run"]: r for r in found if r["experiment"] == experiment}
        if of:
            print(f"## {experiment}\n")
            print("\n\n".join("\n".join(table(of)) for table in tables) + "\n")


if __name__ == "__main__":
    main()
