"""What networks with real weights are worth, head alone, each at its own image size.

    python scripts/bench_backbones.py [SETS ...] [--backbones a,b=WEIGHTS] [--limit 150]
        [--limit-test 150] [--out FILE.jsonl] [--docs]

SETS are folders of <set>/{train,test}/<class>/* (TL_SETS where none is given, several joined by a
colon). Of each set at most --limit and --limit-test images are used, the same for every network, in
the shares of the classes. What is measured is the head alone as `tl train --freeze head` saves it,
with the cache in TL_CACHE: what scripts/bench_rank.py looked at there is not looked at again. One
JSON line a run is appended to --out, and runs that stand there are not made again. Prints a
Markdown table, in which a difference counts as one where McNemar's exact test on the same test
images says so; --docs writes it into docs/backbones.md and runs nothing.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pages
from scipy.stats import binomtest

from tl_cli import catalog, config
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_splits
from tl_cli.engine.context import prepare
from tl_cli.engine.head import choice
from tl_cli.engine.metrics.figures import log_losses
from tl_cli.results.progress import silent

NETWORKS = "efficientnet_lite0,efficientnet_lite1,efficientnet_lite2"
LEAST = 3  # images a class, where it has them


def copy_some(images: Path, limits: dict[str, int], work: Path) -> Path:
    """Copy at most so many images a split, always the same; return the copy's folder."""
    for split, limit in limits.items():
        classes = sorted(path for path in (images / split).iterdir() if path.is_dir())
        files = {folder.name: sorted(folder.iterdir()) for folder in classes}
        share = min(1.0, limit / sum(map(len, files.values())))
        for name, own in files.items():
            random.Random(name).shuffle(own)
            (work / images.name / split / name).mkdir(parents=True)
            for file in own[: max(LEAST, round(share * len(own)))]:
                shutil.copy(file, work / images.name / split / name)
    return work / images.name


def measure(images: Path, network: str, limits: dict[str, int]) -> dict:
    """Return what `tl train --freeze head` comes to, done in this process."""
    import keras

    name, _, weights = network.partition("=")
    size = catalog.get(name).image_size
    keras.backend.clear_session()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as work:
        some = copy_some(images, limits, Path(work))
        flags = {"data": str(some), "backbone": name, "image_size": size, "freeze": "head"}
        flags |= {"weights": weights} if weights else {}
        manifest = assign_splits(scan(str(some)), seed=0)
        context = prepare(config.load(flags=flags), manifest)
        head = choice.solve(context, choice.extract(context, silent))
        said = choice.refit(context, head).probabilities(head.features["test"])
        labels = context.labels("test")
        right = said.argmax(1) == labels
        paths = [r.path.removeprefix(str(some.resolve())) for r in context.manifest.of("test")]
    return {
        "set": images.name,
        "backbone": name,
        "image_size": size,
        "limits": limits,
        "train": len(context.manifest.of("train")),
        "accuracy": float(right.mean()),
        "log_loss": float(log_losses(said, labels).mean()),
        "cpu_seconds": round(time.process_time() - start, 1),
        "right": dict(zip(paths, map(int, right), strict=True)),
    }


def table(found: list[dict]) -> list[str]:
    """One line a set; in brackets the p of McNemar's exact test against the first network."""
    names = list(dict.fromkeys(row["backbone"] for row in found))
    heads = [f"{name}, {catalog.get(name).image_size} px" for name in names]
    lines = [f"| set | test images | {' | '.join(heads)} |", "|---|---|" + "---|" * len(names)]
    better = dict.fromkeys(names[1:], 0)
    sets = dict.fromkeys(names[1:], 0)
    for of in dict.fromkeys(row["set"] for row in found):
        rows = {row["backbone"]: row for row in found if row["set"] == of}
        first = rows[names[0]]
        cells = [f"{first['accuracy']:.3f}, {first['log_loss']:.3f}"]
        for name in names[1:]:
            if name not in rows:
                cells.append("")
                continue
            row = rows[name]
            better[name] += row["accuracy"] > first["accuracy"]
            sets[name] += 1
            cells.append(
                f"{row['accuracy']:.3f}, {row['log_loss']:.3f} (p {mcnemar(first, row):.2g})"
            )
        lines.append(f"| {of} | {len(first['right'])} | {' | '.join(cells)} |")
    counts = [f"better on {better[name]} of {sets[name]}" for name in better]
    return [*lines, f"| | | | {' | '.join(counts)} |"]


def mcnemar(a: dict, b: dict) -> float:
    same = a["right"].keys() & b["right"].keys()
    only = [sum(x["right"][k] > y["right"][k] for k in same) for x, y in ((a, b), (b, a))]
    return float(binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="*", default=os.environ.get("TL_SETS", "").split(":"))
    parser.add_argument("--backbones", default=NETWORKS)
    parser.add_argument("--limit", type=int, default=150, help="Images of train/.")
    parser.add_argument("--limit-test", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path("docs/data/backbones.jsonl"))
    parser.add_argument("--docs", action="store_true", help="Write docs/backbones.md; run nothing.")
    given = parser.parse_args()
    limits = {"train": given.limit, "test": given.limit_test}
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    found = [json.loads(line) for line in lines]
    done = {(row["set"], row["backbone"]) for row in found}
    folders = [p for root in given.sets if root for p in sorted(Path(root).iterdir()) if p.is_dir()]
    for images in [] if given.docs else folders:
        for name in given.backbones.split(","):
            if (images.name, name.partition("=")[0]) in done:
                continue
            found.append(measure(images, name, limits))
            with given.out.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
            print(images.name, name, found[-1]["accuracy"], file=sys.stderr, flush=True)
    lines = table(found)
    print("\n".join(lines))
    if given.docs:
        pages.put("backbones.md", "heads", lines)


if __name__ == "__main__":
    main()
