"""Do the sets of `tl predict --coverage` hold the right class as often as they say?

    python scripts/bench_coverage.py SETS [--sets a,b] [--size 128] [--rounds 20] [--out FILE]
    python scripts/bench_coverage.py --table [--out FILE]
    python scripts/bench_coverage.py --figure docs/coverage.png [--out FILE]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. Each set's
images pass EfficientNet-Lite0 once. In each round its training images are split anew, four fifths
to fit a head to and a fifth to read the threshold off, as `tl train` does; then the head is fitted
to both (`refit`) or stays as it is (`strict`, --no-refit), and is asked about the test images. One
JSON line a set, head and coverage asked for: `covered` and `size`, means over the rounds, `low` and
`high`, the 5 % and 95 % quantiles of `covered`, `alone`, the share of sets of one class, and
`accuracy`.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench_policy import SETS, manifest_of
from sklearn.model_selection import train_test_split

from tl_cli import config
from tl_cli.engine import conformal
from tl_cli.engine.context import prepare
from tl_cli.engine.head import choice, solver
from tl_cli.report.canvas import saved
from tl_cli.report.figures import style
from tl_cli.results.progress import silent

ASKED = (0.8, 0.9, 0.95)
HEADS = ("refit", "strict")


def lines(folder: Path, size: int, rounds: int) -> Iterator[dict[str, Any]]:
    manifest = manifest_of(folder, None, 0)
    flags = {"data": manifest.source, "seed": 0, "image_size": size}
    context = prepare(config.load(flags=flags), manifest)
    head = choice.solve(context, choice.extract(context, silent))
    x = np.concatenate([head.features["train"], head.features["val"]])
    y, test, asked = context.labels("train", "val"), head.features["test"], context.labels("test")
    found: dict[tuple[str, float], list[Any]] = {
        (name, share): [] for name in HEADS for share in ASKED
    }
    for seed in range(rounds):
        fit, held = train_test_split(
            np.arange(len(y)), test_size=0.2, stratify=y, random_state=seed
        )
        strict, refit = (
            solver.solve_depths(x[at], head.widths, y[at], len(context.classes), seed=seed)
            for at in (fit, np.concatenate([fit, held]))
        )
        for name, each in (("strict", strict), ("refit", refit)):
            said = each.probabilities(test)
            for share in ASKED:
                sets = conformal.fit(strict.probabilities(x[held]), y[held], share).of(said)
                right = np.mean([label in own for label, own in zip(asked, sets, strict=True)])
                sizes = np.array(list(map(len, sets)))
                accuracy = (said.argmax(1) == asked).mean()
                found[name, share].append((right, sizes.mean(), (sizes == 1).mean(), accuracy))
    for (name, share), rows in found.items():
        covered, mean, alone, accuracy = np.array(rows).T
        low, high = np.quantile(covered, (0.05, 0.95))
        yield {
            "set": folder.name, "head": name, "asked": share, "classes": len(context.classes),
            "held_out": len(held), "test": len(asked), "rounds": rounds,
            **{k: round(float(v), 4) for k, v in {
                "covered": covered.mean(), "low": low, "high": high, "size": mean.mean(),
                "alone": alone.mean(), "accuracy": accuracy.mean()}.items()},
        }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> None:
    print("| set | classes | accuracy | asked | covered | 5 to 95 % | mean size | alone | strict |")
    print("|---|---|---|---|---|---|---|---|---|")
    strict = {(r["set"], r["asked"]): r for r in rows if r["head"] == "strict"}
    for r in rows:
        if r["head"] == "refit":
            other = strict[r["set"], r["asked"]]["covered"]
            print(
                f"| {r['set']} | {r['classes']} | {r['accuracy']:.3f} | {r['asked']:.2f} | "
                f"{r['covered']:.3f} | {r['low']:.3f} to {r['high']:.3f} | {r['size']:.2f} | "
                f"{r['alone']:.2f} | {other:.3f} |"
            )


@style.in_style
def figure(rows: list[dict[str, Any]], path: Path) -> None:
    drawn, axes = style.axes_of(8.4, 3.4, len(ASKED), sharey=True)
    names = sorted({r["set"] for r in rows})
    for ax, share in zip(axes, ASKED, strict=True):
        own = {r["set"]: r for r in rows if r["head"] == "refit" and r["asked"] == share}
        at = [own[name] for name in names]
        middle = [r["covered"] for r in at]
        ends = [[r["covered"] - r["low"] for r in at], [r["high"] - r["covered"] for r in at]]
        ax.axvline(share, color=style.DIM, linestyle=style.DASHED, linewidth=1.2)
        ax.errorbar(middle, range(len(names)), xerr=ends, fmt="o", color=style.ACCENT, markersize=5)
        ax.set_title(f"asked: {share:.0%}")
        ax.grid(visible=True, axis="x")
        ax.set_xlim(share - 0.25, 1.02)
        ax.set_yticks(range(len(names)), names)
        ax.xaxis.set_major_formatter(style.percent)
    axes[0].invert_yaxis()
    axes[1].set_xlabel("test images whose set holds the right class; bars: 5 to 95 % of the splits")
    saved(drawn, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=os.environ.get("TL_SETS"))
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("docs/data/coverage.jsonl"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    if args.table or args.figure:
        rows = [json.loads(line) for line in args.out.read_text().splitlines()]
        table(rows) if args.table else figure(rows, args.figure)
        return
    if not args.folder:
        parser.error("give the folder of the sets, or TL_SETS")
    with args.out.open("w") as out:
        for name in args.sets.split(","):
            for line in lines(Path(args.folder) / name, args.size, args.rounds):
                out.write(json.dumps(line) + "\n")
                out.flush()


if __name__ == "__main__":
    main()
