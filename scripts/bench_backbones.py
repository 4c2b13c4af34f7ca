"""What networks with real weights are worth, head alone, each at its own image size.

    python scripts/bench_backbones.py [SETS ...] [--backbones a,b] [--limit 2000]
        [--out FILE.jsonl] [--table]

SETS are folders of <set>/{train,test}/<class>/* (TL_SETS where none is given, several joined by a
colon). Every run is the command itself in a process of its own with an empty cache. One JSON line a
run is appended to --out, and runs that stand there are not made again. Prints a Markdown table, in
which a difference counts as one where McNemar's exact test on the same test images says so;
--table prints that of what is there and runs nothing.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scipy.stats import binomtest

from tl_cli import catalog

NETWORKS = "efficientnet_lite0,efficientnet_lite1,efficientnet_lite2"


def measure(images: Path, name: str, limit: int) -> dict:
    size = catalog.get(name).image_size
    with tempfile.TemporaryDirectory() as work:
        command = [
            sys.executable, "-m", "tl_cli", "train", "--data", str(images), "--backbone", name,
            "--image-size", str(size), "--freeze", "head", "--limit", str(limit), "--no-report",
            "--output", f"{work}/run", "--json", "--quiet",
        ]  # fmt: skip
        environment = {**os.environ, "TL_CACHE": f"{work}/cache"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        said = json.loads(done.stdout)
        with Path(f"{work}/run/predictions.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    test = said["metrics"]["test"]
    return {
        "set": images.name,
        "backbone": name,
        "image_size": size,
        "train": said["plan"]["size"],
        "accuracy": test["accuracy"],
        "log_loss": test["log_loss"],
        "seconds": {k: round(v, 1) for k, v in said["seconds"].items()},
        "right": {
            row["path"].removeprefix(str(images)): int(row["label"] == row["predicted"])
            for row in rows
        },
    }


def table(found: list[dict]) -> list[str]:
    """One line a set; in brackets the p of McNemar's exact test against the first network."""
    names = list(dict.fromkeys(row["backbone"] for row in found))
    heads = [f"{name}, {catalog.get(name).image_size} px" for name in names]
    lines = [f"| set | test images | {' | '.join(heads)} |", "|---|---|" + "---|" * len(names)]
    better = dict.fromkeys(names[1:], 0)
    sets = 0
    for of in dict.fromkeys(row["set"] for row in found):
        rows = {row["backbone"]: row for row in found if row["set"] == of}
        if len(rows) < len(names):
            continue
        sets += 1
        first = rows[names[0]]
        cells = [f"{first['accuracy']:.3f}, {first['log_loss']:.3f}"]
        for name in names[1:]:
            row = rows[name]
            better[name] += row["accuracy"] > first["accuracy"]
            cells.append(
                f"{row['accuracy']:.3f}, {row['log_loss']:.3f} (p {mcnemar(first, row):.2g})"
            )
        lines.append(f"| {of} | {len(first['right'])} | {' | '.join(cells)} |")
    counts = [f"better on {n} of {sets}" for n in better.values()]
    return [*lines, f"| | | | {' | '.join(counts)} |"]


def mcnemar(a: dict, b: dict) -> float:
    same = a["right"].keys() & b["right"].keys()
    only = [sum(x["right"][k] > y["right"][k] for k in same) for x, y in ((a, b), (b, a))]
    return float(binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="*", default=os.environ.get("TL_SETS", "").split(":"))
    parser.add_argument("--backbones", default=NETWORKS)
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("docs/data/backbones.jsonl"))
    parser.add_argument("--table", action="store_true", help="Run nothing.")
    given = parser.parse_args()
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    found = [json.loads(line) for line in lines]
    done = {(row["set"], row["backbone"]) for row in found}
    folders = [p for root in given.sets if root for p in sorted(Path(root).iterdir()) if p.is_dir()]
    for images in [] if given.table else folders:
        for name in given.backbones.split(","):
            if (images.name, name) in done:
                continue
            found.append(measure(images, name, given.limit))
            with given.out.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
            print(images.name, name, found[-1]["accuracy"], file=sys.stderr, flush=True)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
