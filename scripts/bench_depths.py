"""How the depths that a head sees are weighed against one another, and what that gains.

    python scripts/bench_depths.py SETS [MORE ...] [--images 200,400,1000] [--seeds 2] [--size 128]
        [--limit 1500] [--limit-test 600] [--features DIR] [--out FILE] [--docs]

SETS are folders of <set>/{train,test}/<class>/*; TL_SETS, joined by colons, where none is given.
The images pass the default network once (what it makes of them is kept in --features, as
scripts/bench_heads.py does). On so many of them the joined head is solved, as a line and with a
kernel, with each depth divided by its deviation times its columns to the power p: with p = 0 a
depth of 1,280 columns counts sixteen times as much as one of 80, with p = 1/2 they count alike.

One JSON line a cell (set, images, seed) is appended to --out, what stands there is not run again;
Markdown is printed, and with --docs written: test accuracy and log loss of each, means over sets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bench_heads import by_set, fill, looked_at, options, rows_in, show

from tl_cli.data.manifest import Manifest
from tl_cli.data.subset import limit
from tl_cli.engine.head import kernel, solver
from tl_cli.engine.metrics.figures import encode, log_losses

POWERS = (0.0, 0.25, 0.5, 0.75)
KERNEL_FROM = 320  # images, below which `tl train` tries none


def weighed(x: np.ndarray, widths: tuple[int, ...], train: slice, power: float) -> np.ndarray:
    """Return features with each depth divided by its deviation times its columns^power."""
    parts = np.split(x, np.cumsum(widths)[:-1], axis=1)
    sizes = [(p[train] - p[train].mean(0)).std() * p.shape[1] ** power for p in parts]
    return np.concatenate([p / size for p, size in zip(parts, sizes, strict=True)], axis=1)


def cell(
    manifest: Manifest, rows: dict[str, Any], widths: tuple[int, ...], images: int, seed: int
) -> dict[str, Any]:
    """Return test accuracy and log loss of each head by power, on so many training images."""
    pool = [record for record in manifest.records if record.split != "test"]
    train = limit(manifest.with_records(pool), images, seed=seed).records
    test = manifest.of("test")
    x = np.stack([rows[record.path] for record in (*train, *test)])
    y = encode([record.label for record in (*train, *test)], manifest.classes)
    n, classes = len(train), len(manifest.classes)
    made: dict[str, Any] = {"train": n, "test": len(test)}
    for power in POWERS:
        z = weighed(x, widths, slice(n), power)
        heads = {"line": solver.solve(z[:n], y[:n], classes, seed=seed, method="ridge")}
        if n >= KERNEL_FROM:
            heads["kernel"] = kernel.solve_kernel(z[:n], [z.shape[1]], y[:n], classes, seed=seed)
        for name, head in heads.items():
            said = head.probabilities(z[n:])
            right = float((said.argmax(1) == y[n:]).mean())
            lost = float(log_losses(said, y[n:]).mean())
            made[f"{name} {power}"] = [round(right, 4), round(lost, 4)]
    return made


def table(found: list[dict[str, Any]]) -> list[str]:
    """One line a set, number of images and head, means over seeds; then the means over sets."""
    lines = ["| images | head | set |" + "".join(f" p = {power} |" for power in POWERS)]
    lines.append("|---" * (3 + len(POWERS)) + "|")
    for images in sorted({row["images"] for row in found}):
        for head in ("line", "kernel"):
            here = [r for r in found if r["images"] == images and f"{head} 0.0" in r]
            if not here:
                continue
            names = sorted({row["set"] for row in here})
            own = {name: [r for r in here if r["set"] == name] for name in names}
            means = {
                name: np.array([np.mean([r[f"{head} {p}"] for r in rows], axis=0) for p in POWERS])
                for name, rows in own.items()
            }
            lines += by_set(f"{images} | {head}", means)
    return lines


def main() -> None:
    given = options(__doc__ or "", "200,400,1000", "docs/data/depths.jsonl").parse_args()
    found = rows_in(given.out)
    fill(given, found, looked_at, cell)
    show(table(found), "depths", docs=given.docs)


if __name__ == "__main__":
    main()
