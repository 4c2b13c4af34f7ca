"""What of a feature map should the head see: its average, its maximum, its deviation?

    python scripts/bench_pooling.py SETS [MORE ...] [--images 60,150,400,1000] [--seeds 2]
        [--size 128] [--limit 1500] [--limit-test 600] [--features DIR] [--out FILE] [--docs]

SETS are folders of <set>/{train,test}/<class>/*; TL_SETS, joined by colons, where none is given.
The images pass the default network once, and average, deviation and maximum over the places of each
map are kept in --features. On so many of them, a fifth set apart as `tl train` does, the head that
`tl train` would save is found for each way to pool: last, multi or kernel by the folds, solved once
more on training and validation images together. *apart*: average and deviation of a depth are
weighed as if they were two depths.

One JSON line a cell (set, images, seed) is appended to --out, what stands there is not run again;
Markdown is printed, and with --docs written: test accuracy and log loss, means over seeds and sets.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from bench_heads import by_set, figures, fill, linear, options, rows_in, show, some_of

from tl_cli import catalog, engine
from tl_cli.data import groups
from tl_cli.data.manifest import Manifest
from tl_cli.data.split import assign_splits
from tl_cli.data.subset import limit
from tl_cli.engine import features
from tl_cli.engine.features import FeatureSpec
from tl_cli.engine.head import kernel, solver
from tl_cli.engine.metrics.figures import encode
from tl_cli.engine.networks import loading

Arrays = dict[str, np.ndarray]  # by name

KEPT = ("avg", "std", "max")  # of each map
FIGURES = ("test_accuracy", "test_log_loss")
WAYS = {
    "avg": ("avg",),
    "avgmax": ("avg", "max"),
    "avgstd": ("avg", "std"),
    "apart": ("avg", "std"),
}


def looked_at(
    images: Path, given: argparse.Namespace
) -> tuple[Manifest, dict[str, Any], list[int]]:
    """Return the images, by path what of each map is kept, and the channels of each depth."""
    folder, manifest = some_of(images, given)
    file = folder / f"{given.size}-pooled.npz"
    if not file.exists():
        engine.prepare("float32", 0)
        backbone = loading.load(catalog.get(catalog.DEFAULT), given.size)
        taps = backbone.stage_ends
        specs = [FeatureSpec(taps, dtype="float32", pooling=way) for way in ("avgstd", "max")]
        found = features.extract(backbone, manifest.records, specs, keep=False)
        widths = [backbone.blocks[tap - 1].output_shape[-1] for tap in taps]
        both, greatest = (np.asarray(rows.array(), "float32") for rows in found)
        at = np.cumsum([0, *widths])
        parts = {"max": [greatest[:, a:b] for a, b in itertools.pairwise(at)]}
        parts["avg"] = [both[:, 2 * a : a + b] for a, b in itertools.pairwise(at)]
        parts["std"] = [both[:, a + b : 2 * b] for a, b in itertools.pairwise(at)]
        kept = {name: np.concatenate(parts[name], axis=1) for name in KEPT}
        paths = [record.path for record in manifest.records]
        np.savez(file, **{"widths": np.array(widths), "paths": np.array(paths), **kept})  # type: ignore[arg-type]
    held = np.load(file)
    rows = {name: dict(zip(held["paths"], held[name], strict=True)) for name in KEPT}
    return manifest, rows, held["widths"].tolist()


def pooled(parts: Arrays, widths: list[int], way: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return features as a way pools them, depth by depth, and the columns of each."""
    ends = np.cumsum(widths)[:-1]
    by_depth = zip(*(np.split(parts[name], ends, axis=1) for name in WAYS[way]), strict=True)
    depths = [list(depth) for depth in by_depth]
    if way == "apart":
        depths = [[part] for depth in depths for part in depth]
    joined = [np.concatenate(depth, axis=1) for depth in depths]
    return np.concatenate(joined, axis=1), tuple(depth.shape[1] for depth in joined)


def saved(
    x: Arrays, y: Arrays, widths: tuple[int, ...], classes: int, seed: int, own: dict[str, Any]
) -> dict[str, Any]:
    """Return the test figures of the head that `tl train` would save on these features."""
    kind, line, columns = linear(x["train"], y["train"], widths, classes, own["train"], seed)
    both, y_both = np.concatenate([x["train"], x["val"]]), np.concatenate([y["train"], y["val"]])
    options: dict[str, Any] = {"seed": seed, "groups": own["both"]}
    if kernel.worth(len(x["train"]), sum(widths)):
        bent = kernel.solve_kernel(
            x["train"], widths, y["train"], classes, seed=seed, groups=own["train"]
        )
        if kernel.better(bent, line, y["train"], None):
            again = kernel.solve_kernel(
                both, widths, y_both, classes, factors=[bent.factor], **options
            )
            return {"kind": "kernel", **figures(again, x["test"], y["test"])}
    refit = solver.solve_depths(
        both[:, -columns:], widths if kind == "multi" else widths[-1:], y_both, classes,
        method=line.kind, **options,
    )  # fmt: skip
    return {"kind": kind, **figures(refit, x["test"][:, -columns:], y["test"])}


def cell(
    manifest: Manifest, rows: dict[str, Any], widths: list[int], n: int, seed: int
) -> dict[str, Any] | None:
    """Return each way's figures; None where there are too many classes for so few images."""
    if n < 2 * len(manifest.classes):
        return None
    few = assign_splits(limit(manifest, n, seed=seed), seed=seed)
    of = {s: few.of(s) for s in ("train", "val", "test")}
    y = {s: encode([r.label for r in records], few.classes) for s, records in of.items()}
    own = {
        name: None if (found := groups.numbers(records)) is None else np.array(found)
        for name, records in (("train", of["train"]), ("both", [*of["train"], *of["val"]]))
    }
    parts = {
        s: {name: np.stack([rows[name][r.path] for r in records]) for name in KEPT}
        for s, records in of.items()
    }
    made: dict[str, Any] = {"train": len(of["train"]), "test": len(of["test"])}
    for way in WAYS:
        x = {s: pooled(found, widths, way)[0] for s, found in parts.items()}
        columns = pooled(parts["test"], widths, way)[1]
        made[way] = saved(x, y, columns, len(few.classes), seed, own)
    return made


def table(found: list[dict[str, Any]]) -> list[str]:
    """One line a number of images and set, means over seeds; then the means over the sets."""
    lines = ["| images | set |" + "".join(f" {way} |" for way in WAYS)]
    lines.append("|---" * (2 + len(WAYS)) + "|")
    for images in sorted({row["images"] for row in found}):
        here = [row for row in found if row["images"] == images]
        means = {
            name: np.array(
                [
                    [np.mean([row[way][f] for row in here if row["set"] == name]) for f in FIGURES]
                    for way in WAYS
                ]
            )
            for name in dict.fromkeys(row["set"] for row in here)
        }
        lines += by_set(str(images), means)
    return lines


def main() -> None:
    given = options(__doc__ or "", "60,150,400,1000", "docs/data/pooling.jsonl").parse_args()
    found = rows_in(given.out)
    fill(given, found, looked_at, cell)
    show(table(found), "pooling", docs=given.docs)


if __name__ == "__main__":
    main()
