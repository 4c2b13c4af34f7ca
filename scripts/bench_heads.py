"""What would another head gain: a Gaussian kernel in place of a line, if folds choose between them?

    python scripts/bench_heads.py SETS [MORE ...] [--images 200,400,all] [--seeds 2] [--size 128]
        [--limit 1500] [--limit-test 600] [--features DIR] [--out FILE] [--docs]

SETS are folders of <set>/{train,test}/<class>/*; TL_SETS, joined by colons, where none is given.
Of each set at most --limit and --limit-test images pass the default network once, and what it makes
of them is kept in --features. On so many of the images, a fifth of them set apart as `tl train`
does, these heads are solved, chosen by the folds of the training images, solved once more on
training and validation images together, and asked about the test images:

- linear: what `tl train` saves, on the last depth or on all that are joined.
- kernel: a Gaussian kernel on the joined features (`tl_cli/engine/head/kernel.py`), its width by
  the folds' log loss.

One JSON line a cell (set, images, seed) is appended to --out, what stands there is not run again;
Markdown is printed, and with --docs written: the kernel's gain, and what the folds' choice makes of
it, by less log loss (better) or by more than a standard error less (surely).
"""

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pages
from bench_backbones import copy_some

from tl_cli import catalog, engine
from tl_cli.data import groups
from tl_cli.data.manifest import Manifest
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_splits
from tl_cli.data.subset import limit
from tl_cli.engine import features
from tl_cli.engine.features import FeatureSpec
from tl_cli.engine.head import choose_head, solver
from tl_cli.engine.head.kernel import solve_kernel
from tl_cli.engine.head.linear_head import LinearHead, paired_gain
from tl_cli.engine.metrics.figures import encode, log_losses
from tl_cli.engine.networks import loading
from tl_cli.engine.networks.pooling import POOLINGS

RULES = ("always", "better", "surely")  # how the folds may choose the kernel


def some_of(images: Path, given: argparse.Namespace) -> tuple[Path, Manifest]:
    """Return the folder where what is made of a set is kept, and the images of it that are used."""
    folder = given.features / images.name
    some = folder / "images" / images.name
    if not some.exists():
        copy_some(images, {"train": given.limit, "test": given.limit_test}, folder / "images")
    return folder, scan(str(some))


def looked_at(images: Path, given: argparse.Namespace) -> tuple[Manifest, dict, tuple[int, ...]]:
    """Return the images, what the network makes of each by its path, and the depths' widths."""
    folder, manifest = some_of(images, given)
    kept = folder / f"{given.size}.npz"
    if not kept.exists():
        engine.prepare("float32", 0)
        backbone = loading.load(catalog.get(catalog.DEFAULT), given.size)
        taps = backbone.stage_ends
        rows = features.extract(backbone, manifest.records, [FeatureSpec(taps)], keep=False)[0]
        width = POOLINGS["avg"].width
        widths = [width(backbone.blocks[tap - 1].output_shape) for tap in taps]
        paths = [record.path for record in manifest.records]
        np.savez(kept, rows=np.asarray(rows.array(), "float32"), widths=widths, paths=paths)
    held = np.load(kept)
    return manifest, dict(zip(held["paths"], held["rows"], strict=True)), tuple(held["widths"])


def linear(x, labels, widths, classes, own, seed) -> tuple[str, LinearHead, int]:
    """Return the head that `tl train` would choose, and the columns that it sees from the right."""
    last = solver.solve(x[:, -widths[-1] :], labels, classes, seed=seed, groups=own)
    multi = solver.solve_depths(x, widths, labels, classes, seed=seed, groups=own)
    kind = choose_head(last, multi, labels)
    return (
        kind,
        (last if kind == "last" else multi),
        (widths[-1] if kind == "last" else sum(widths)),
    )


def figures(head: LinearHead, x: np.ndarray, labels: np.ndarray) -> dict:
    said = head.probabilities(x)
    return {
        "cv_accuracy": round(head.cv_accuracy, 5),
        "cv_log_loss": round(head.cv_log_loss, 5),
        "test_accuracy": round(float((said.argmax(1) == labels).mean()), 5),
        "test_log_loss": round(float(log_losses(said, labels).mean()), 5),
    }


def cell(
    manifest: Manifest, rows: dict, widths: tuple[int, ...], n: int | None, seed: int
) -> dict | None:
    """Return the figures of both heads; None where there are not as many images."""
    if n and n >= sum(record.split != "test" for record in manifest.records):
        return None
    few = assign_splits(limit(manifest, n, seed=seed), seed=seed)
    of = {s: few.of(s) for s in ("train", "val", "test")}
    x = {s: np.stack([rows[r.path] for r in records]) for s, records in of.items()}
    y = {s: encode([r.label for r in records], few.classes) for s, records in of.items()}
    both, y_both = np.concatenate([x["train"], x["val"]]), np.concatenate([y["train"], y["val"]])
    own, own_both = (
        None if (found := groups.numbers(records)) is None else np.array(found)
        for records in (of["train"], [*of["train"], *of["val"]])
    )
    classes = len(few.classes)

    start = time.process_time()
    kind, line, columns = linear(x["train"], y["train"], widths, classes, own, seed)
    refit = solver.solve_depths(
        both[:, -columns:], widths if kind == "multi" else widths[-1:], y_both, classes,
        seed=seed, groups=own_both, method=line.kind,
    )  # fmt: skip
    first = figures(refit, x["test"][:, -columns:], y["test"])
    linear_seconds = time.process_time() - start

    start = time.process_time()
    chosen = solve_kernel(x["train"], widths, y["train"], classes, seed=seed, groups=own)
    assert chosen.factor is not None
    again = solve_kernel(
        both, widths, y_both, classes, factors=[chosen.factor], seed=seed, groups=own_both
    )
    second = figures(again, x["test"], y["test"])
    gain, error = paired_gain(chosen.held_out, line.held_out, y["train"])
    return {
        "train": len(x["train"]), "classes": classes, "test": len(x["test"]),
        "kind": kind, "method": line.kind, "factor": chosen.factor,
        "linear": {**first, "cv_accuracy": line.cv_accuracy, "cv_log_loss": line.cv_log_loss},
        "kernel": {**second, "cv_accuracy": chosen.cv_accuracy, "cv_log_loss": chosen.cv_log_loss},
        "gain": gain, "gain_stderr": error,
        "linear_seconds": round(linear_seconds, 1),
        "kernel_seconds": round(time.process_time() - start, 1),
    }  # fmt: skip


def taken(row: dict, rule: str) -> str:
    margin = {"always": -np.inf, "better": 0.0, "surely": row["gain_stderr"]}[rule]
    return "kernel" if row["gain"] > margin else "linear"


def table(rows: list[dict]) -> list[str]:
    """One line a set and number of images, means over seeds; then the means over the sets."""
    lines = [
        "| images | set | linear | kernel | points gained | log loss gained "
        + "".join(f"| {rule} " for rule in RULES[1:]) + "|",
        "|---" * (6 + len(RULES[1:])) + "|",
    ]  # fmt: skip
    for images in sorted({row["images"] for row in rows}, key=lambda n: (n == "all", n)):
        here = [row for row in rows if row["images"] == images]
        gains: dict[str, list] = {rule: [] for rule in RULES}
        losses: dict[str, list] = {rule: [] for rule in RULES}
        for name in dict.fromkeys(row["set"] for row in here):
            own = [row for row in here if row["set"] == name]

            def mean(figure: str, rule: str, own=own) -> float:
                said = (row[taken(row, rule)][figure] - row["linear"][figure] for row in own)
                return float(np.mean(list(said)))

            for rule in RULES:
                gains[rule].append(100 * mean("test_accuracy", rule))
                losses[rule].append(-mean("test_log_loss", rule))
            base = np.mean([row["linear"]["test_accuracy"] for row in own])
            other = np.mean([row["kernel"]["test_accuracy"] for row in own])
            chose = " | ".join(f"{gains[rule][-1]:+.1f}" for rule in RULES[1:])
            lines.append(
                f"| {images} | {name} | {base:.3f} | {other:.3f} | {gains['always'][-1]:+.1f} "
                f"| {losses['always'][-1]:+.3f} | {chose} |"
            )
        means = " | ".join(f"**{np.mean(gains[rule]):+.2f}**" for rule in RULES[1:])
        lines.append(
            f"| {images} | mean of {len(gains['always'])} | | "
            f"| **{np.mean(gains['always']):+.2f}** "
            f"| **{np.mean(losses['always']):+.3f}** | {means} |"
        )
    return lines


def options(text: str, images: str, out: str) -> argparse.ArgumentParser:
    """Return the options of a script about heads: its docstring, numbers of images, its lines."""
    parser = argparse.ArgumentParser(description=text.split("\n")[0])
    parser.add_argument("sets", nargs="*", default=os.environ.get("TL_SETS", "").split(":"))
    parser.add_argument("--images", default=images)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--limit", type=int, default=1500)
    parser.add_argument("--limit-test", type=int, default=600)
    parser.add_argument("--features", type=Path, default=Path("/tmp/bench_heads"))
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--docs", action="store_true", help="Write docs/heads.md; run nothing.")
    return parser


def rows_in(file: Path) -> list[dict]:
    """Return the lines that are there already; none where there is no file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def by_set(start: str, means: dict[str, np.ndarray]) -> list[str]:
    """Return a line of a table a set, and one of their mean: accuracy / log loss [columns, 2]."""

    def line(name: str, said: list[str]) -> str:
        return f"| {start} | {name} |" + "".join(f" {each} |" for each in said)

    def pairs(each: np.ndarray) -> list[str]:
        return [f"{right:.3f} / {lost:.3f}" for right, lost in each]

    whole = [f"**{each}**" for each in pairs(np.mean(list(means.values()), axis=0))]
    lines = [line(name, pairs(own)) for name, own in means.items()]
    return [*lines, line(f"mean of {len(means)}", whole)]


def show(lines: list[str], name: str, *, docs: bool) -> None:
    """Print a table, and with `docs` put it on the page."""
    print("\n".join(lines))
    if docs:
        pages.put("heads.md", name, lines)


def fill(
    given: argparse.Namespace,
    found: list[dict],
    look: Callable[[Path, argparse.Namespace], tuple],
    cell: Callable[..., dict | None],
) -> None:
    """Measure each cell (set, images, seed) that is lacking, and append its line to the file.

    `look`: a set's folder -> its manifest and what else `cell` is given before the number of images
    ("all" or digits) and the seed. None: there is no such cell.
    """
    done = {(row["set"], str(row["images"]), row["seed"]) for row in found}
    roots = [] if given.docs else given.sets
    for folder in (p for root in roots if root for p in sorted(Path(root).iterdir()) if p.is_dir()):
        looked = look(folder, given)
        for n, seed in itertools.product(given.images.split(","), range(given.seeds)):
            if (folder.name, n, seed) in done:
                continue
            count = None if n == "all" else int(n)
            made = cell(*looked, count, seed)
            if made is None:
                continue
            found.append({"set": folder.name, "images": count or n, "seed": seed, **made})
            with given.out.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
            print(found[-1], file=sys.stderr, flush=True)


def main() -> None:
    given = options(__doc__, "200,400,all", "docs/data/heads.jsonl").parse_args()
    found = rows_in(given.out)
    fill(given, found, looked_at, cell)
    show(table(found), "gains", docs=given.docs)


if __name__ == "__main__":
    main()
