"""Head, half and full on real sets: test accuracy, wall time, and which plan `auto` picked.

    python scripts/bench_plans.py SETS [--only flowers,trashnet] [--size 128] [--out FILE.jsonl]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. Every run
is the command itself in a process of its own with an empty cache, so that no plan profits from
another's pass. One JSON line a run is appended to --out, and runs that stand there are not made
again. Prints a Markdown table.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLANS = ("head", "half", "full")


def tl(*arguments: str, cache: str) -> dict:
    command = [sys.executable, "-m", "tl_cli", *arguments, "--json", "--quiet"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "TL_CACHE": cache}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def measure(folder: Path, plan: str, size: int) -> dict:
    with tempfile.TemporaryDirectory() as work:
        start = time.perf_counter()
        told = tl(
            *("train", "--data", str(folder), "--freeze", plan, "--image-size", str(size)),
            *("--output", f"{work}/run"),
            cache=f"{work}/cache",
        )
        wall = time.perf_counter() - start
        picked = tl("recommend-freeze", "--data", str(folder), cache=f"{work}/cache")
    tune = told["tune"]
    return {
        "set": folder.name,
        "plan": plan,
        "image_size": size,
        "train": told["plan"]["size"],
        "test": told["metrics"]["test"]["n"],
        "test_accuracy": tune["tuned_test_accuracy"] if tune else saved(told),
        "saved_test_accuracy": saved(told),
        "kept": tune["kept"] if tune else "head",
        "head": told["head"]["kind"],
        "seconds": round(wall, 1),
        "auto": picked["strategy"],
        "auto_ratio": picked["freeze_ratio"],
        "epochs": told["plan"]["epochs"],
    }


def saved(told: dict) -> float:
    return told["metrics"]["test"]["accuracy"]


def table(rows: list[dict]) -> str:
    lines = [
        "| set | train / test | head | half | full | saved after half / full"
        " | time: head, half, full | `auto` picked |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["set"] for row in rows):
        of = {row["plan"]: row for row in rows if row["set"] == name}
        if set(of) == set(PLANS):
            lines.append(line(name, of))
    return "\n".join(lines)


def line(name: str, of: dict[str, dict]) -> str:
    head = of["head"]
    accuracy = " | ".join(f"{of[plan]['test_accuracy']:.3f}" for plan in PLANS)
    kept = " / ".join(f"{of[plan]['saved_test_accuracy']:.3f}" for plan in ("half", "full"))
    times = ", ".join(
        f"{of[plan]['seconds']:.0f} s"
        if plan == "head"
        else f"x{of[plan]['seconds'] / head['seconds']:.1f}"
        for plan in PLANS
    )
    auto = f"{head['auto']} {head['auto_ratio']:.2f}"
    return f"| {name} | {head['train']} / {head['test']} | {accuracy} | {kept} | {times} | {auto} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="?", default=os.environ.get("TL_SETS"))
    parser.add_argument("--only", default="")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("docs/data/plans.jsonl"))
    given = parser.parse_args()
    if not given.sets:
        parser.error("give the folder of sets, or set TL_SETS")
    only = [name for name in given.only.split(",") if name]
    args_out = given.out
    args_out.parent.mkdir(parents=True, exist_ok=True)
    rows = (
        [json.loads(text) for text in args_out.read_text().splitlines()]
        if args_out.exists()
        else []
    )
    for folder in sorted(Path(given.sets).iterdir()):
        if not (folder / "train").is_dir() or (only and folder.name not in only):
            continue
        for plan in PLANS:
            if any((r["set"], r["plan"]) == (folder.name, plan) for r in rows):
                continue
            rows.append(measure(folder, plan, given.size))
            with args_out.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
