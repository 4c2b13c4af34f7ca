"""How well are several labels found? Two photos of different sets side by side, the labels of both.

    python scripts/bench_multilabel.py SETS [--images 100,400,1000] [--tune SIZE]
        [--network NAME=FILE] [--out FILE]
    python scripts/bench_multilabel.py --table [--out FILE]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. From three
sets of photos, images are made of one photo (a label), or of two of different sets (two labels);
training images are made of training photos, test images of test photos. `tl train` is run as a
person would run it, on the table of them, with so many training images. One JSON line each:

- mean_average_precision, macro_f1, micro_f1, subset_accuracy on the test images, with intervals;
- macro_f1_at_half, micro_f1_at_half: where a label were said from a probability of one half on;
- combinations: mean average precision where each combination is a class of its own
  (--task classification) and a label's probability is the sum over the combinations that have it.

With --tune the plan that tl chooses is trained at SIZE pixels, and a line has what each candidate
comes to on the test images (the solved head before, the head solved again after), what was kept,
and the gain that the validation images saw. --network: in place of the default, with its weights.

--table prints Markdown.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from sklearn.metrics import average_precision_score, f1_score

SETS = ("ants_bees", "flowers", "trashnet")
SIDE = 224  # pixels of each photo
TEST = 300  # images
OUT = Path("docs/data/multilabel.jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sets", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--images", default="100,400,1000")
    parser.add_argument("--tune", type=int, metavar="SIZE")
    parser.add_argument("--network", metavar="NAME=FILE", default="")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.table:
        print(table(asked.out))
        return
    if not asked.sets:
        parser.error("give the folder of sets, or TL_SETS")
    with asked.out.open("a", encoding="utf-8") as out:
        for number in map(int, asked.images.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                way = (
                    partial(tuned, size=asked.tune, network=asked.network)
                    if asked.tune
                    else measured
                )
                row = way(Path(asked.sets), Path(folder), number)
            out.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def measured(sets: Path, folder: Path, number: int) -> dict[str, object]:
    """Return the figures of a training on so many images."""
    labels = made(sets, folder, number)
    told = trained(folder, "several")
    figures = told["metrics"]["test"]
    true, said = answers(folder, folder / "several", labels)
    half = said >= 0.5
    keep = ("n", "mean_average_precision", "macro_f1", "micro_f1", "subset_accuracy", "intervals")
    return {
        "images": number,
        "labels": true.shape[1],
        **{name: figures[name] for name in keep},
        "macro_f1_at_half": float(f1_score(true, half, average="macro", zero_division=0)),
        "micro_f1_at_half": float(f1_score(true, half, average="micro", zero_division=0)),
        "chance_average_precision": figures["chance_average_precision"],
        "combinations": combinations(folder, labels),
        "seconds": told["seconds"]["total"],
    }


def tuned(sets: Path, folder: Path, number: int, size: int, network: str) -> dict[str, object]:
    """Return what tuning on so many images comes to beside the head."""
    made(sets, folder, number)
    words = ["--image-size", str(size), "--effort", "normal"]
    if network:
        name, _, weights = network.partition("=")
        words += ["--backbone", name, "--weights", weights]
    told = trained(folder, "tuned", *words)
    tune, plan = told["tune"], told["plan"]
    return {
        "images": number,
        "network": plan["backbone"],
        "size": size,
        "strategy": plan["strategy"],
        "freeze_ratio": plan["freeze_ratio"],
        "epochs": plan["epochs"],
        "similarity": plan["similarity"],
        "tune": tune and {k: tune[k] for k in ("kept", "gain", "gain_stderr", "candidates")},
        "mean_average_precision": told["metrics"]["test"]["mean_average_precision"],
        "intervals": told["metrics"]["test"]["intervals"],
        "seconds": told["seconds"],
    }


def made(sets: Path, folder: Path, number: int) -> dict[str, tuple[str, ...]]:
    """Write the images and labels.csv; return the labels of each test image."""
    draw = random.Random(0)
    tested: dict[str, tuple[str, ...]] = {}
    lines = ["path,label,split"]
    for split, wanted in (("train", number), ("test", TEST)):
        photos = {name: sorted((sets / name / split).glob("*/*")) for name in SETS}
        for i in range(wanted):
            chosen = draw.sample(SETS, draw.choice((1, 2, 2)))
            parts = [draw.choice(photos[name]) for name in chosen]
            path = folder / f"{split}-{i:05d}.jpg"
            beside(parts).save(path, quality=92)
            names = tuple(sorted(part.parent.name for part in parts))
            lines.append(f"{path.name},{';'.join(names)},{split}")
            if split == "test":
                tested[str(path)] = names
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return tested


def beside(paths: Sequence[Path]) -> Image.Image:
    """Return photos side by side, each squashed to a square."""
    whole = Image.new("RGB", (SIDE * len(paths), SIDE))
    for i, path in enumerate(paths):
        with Image.open(path) as photo:
            upright = ImageOps.exif_transpose(photo).convert("RGB").resize((SIDE, SIDE))
        whole.paste(upright, (SIDE * i, 0))
    return whole


def tl(*words: object) -> str:
    command = [sys.executable, "-m", "tl_cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def trained(folder: Path, name: str, *options: str) -> dict[str, Any]:
    run, source = folder / name, folder / "labels.csv"
    words = ("train", source, "--output", run, "--no-report", "--json", "--effort", "quick")
    told: dict[str, Any] = json.loads(tl(*words, *options))
    return told


def answers(
    folder: Path, run: Path, labels: dict[str, tuple[str, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return indicators and probabilities [n, C] of the test images."""
    out = folder / "answers.csv"
    tl("predict", run, *labels, "--output", out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name.startswith("probability_")]
    names = [name.removeprefix("probability_") for name in columns]
    true = [[name in labels[row["path"]] for name in names] for row in rows]
    return np.array(true, int), np.array([[float(row[c]) for c in columns] for row in rows])


def combinations(folder: Path, labels: dict[str, tuple[str, ...]]) -> float | None:
    """Return the mean average precision where each combination is a class; None where none can be.

    Combinations of a single image cannot be trained on: these images are left out.
    """
    rows = (folder / "labels.csv").read_text(encoding="utf-8").splitlines()
    learned = [line.split(",")[1] for line in rows[1:] if line.endswith(",train")]
    often = {name for name in learned if learned.count(name) > 1}
    kept = [line for line in rows[1:] if line.split(",")[1] in often]
    (folder / "labels.csv").write_text("\n".join([rows[0], *kept]), encoding="utf-8")
    run = folder / "combined"
    trained(folder, "combined", "--task", "classification")
    classes = json.loads((run / "labels.json").read_text(encoding="utf-8"))
    out = folder / "combined.jsonl"
    tl("predict", run, *labels, "--output", out, "--top-k", len(classes), "--no-unknown")
    names = sorted({name for own in labels.values() for name in own})
    answers = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    said = np.zeros((len(answers), len(names)))
    true = np.zeros(said.shape, int)
    for i, answer in enumerate(answers):
        true[i] = [name in labels[answer["path"]] for name in names]
        for guess in answer["top"]:
            for name in guess["label"].split(";"):
                said[i, names.index(name)] += guess["probability"]
    return float(average_precision_score(true, said))


def table(file: Path) -> str:
    whole = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return "\n\n".join((heads([r for r in whole if "tune" not in r]), tunings(whole)))


def tunings(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| network | training images | pixels | frozen | epochs | mAP, head | mAP, solved again "
        "| log loss, head | log loss, solved again | gain seen | kept | tuning, s |",
        "|---" * 12 + "|",
    ]
    for row in rows:
        if not row.get("tune"):
            continue
        head, *_, again = row["tune"]["candidates"]
        cells = [
            row["network"],
            f"{row['images']:,}",
            str(row["size"]),
            f"{row['freeze_ratio']:.0%}",
        ]
        cells += [str(row["epochs"])]
        cells += [f"{each['test_average_precision']:.3f}" for each in (head, again)]
        cells += [f"{each['log_loss']:.3f}" for each in (head, again)]
        cells += [f"{row['tune']['gain']:+.3f} ± {row['tune']['gain_stderr']:.3f}"]
        cells += [row["tune"]["kept"], f"{row['seconds']['tune']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def heads(rows: Sequence[dict[str, Any]]) -> str:
    head = (
        "training images", "mAP", "95 %", "macro F1", "at one half", "all labels right",
        "mAP of guessing", "mAP, a class a combination", "seconds",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        low, high = row["intervals"]["mean_average_precision"]
        names = ("macro_f1", "macro_f1_at_half", "subset_accuracy", "chance_average_precision",
                 "combinations")  # fmt: skip
        cells = [f"{row['images']:,}", f"{row['mean_average_precision']:.3f}"]
        cells += [f"{low:.3f} to {high:.3f}", *(f"{row[name]:.3f}" for name in names)]
        cells.append(f"{row['seconds']:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
