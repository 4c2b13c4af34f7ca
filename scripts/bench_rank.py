"""Does `tl rank` pick the right network, and what does asking it cost?

    python scripts/bench_rank.py SETS [MORE] --among a,b,c=FILE [--heads FILE] [--limit 150]
        [--out FILE] [--docs]

SETS are folders of <set>/{train,test}/<class>/*; TL_SETS, joined by colons, where none is given. On
each set what `tl rank` does is done in this process, with the cache in TL_CACHE, which has to be
empty at first; it sees at most --limit images of train/ alone, those that
scripts/bench_backbones.py draws. Whether its pick was right is read off the test images: --heads
holds the lines of scripts/bench_backbones.py, the head of every network trained and tested at its
own image size. What the training of all of them would have cost is what `tl rank` estimates. One
JSON line a set is appended to --out, and what stands there is not run again; a table is printed,
and --docs writes it into docs/backbones.md and runs nothing.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import pages
from bench_backbones import copy_some

from tl_cli import config
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_splits
from tl_cli.engine import rank
from tl_cli.results.progress import silent
from tl_cli.results.ranking import Candidate


def measure(images: Path, among: str, limit: int) -> dict:
    """Return what `tl rank` says, done in this process, and the seconds that it took of it."""
    candidates = [
        Candidate(name, weights or None)
        for name, _, weights in (each.partition("=") for each in among.split(","))
    ]
    with tempfile.TemporaryDirectory() as work:
        some = copy_some(images, {"train": limit, "test": limit}, Path(work))
        manifest = assign_splits(scan(str(some)), seed=0)
        chosen = config.load(flags={"data": str(some)})
        start, cpu = time.monotonic(), time.process_time()
        found = rank.rank(chosen, manifest, candidates, silent)
        seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    told = found.to_json()
    for row in told["networks"]:  # where the file lies is this machine's affair
        row["weights"] = row["weights"] and Path(row["weights"]).name
    return {"set": images.name, "limit": limit, "seconds": seconds, "cpu_seconds": cpu, **told}


def table(rankings: list[dict], heads: dict[tuple[str, str], float]) -> list[str]:
    """Return Markdown: a line a set, with the test accuracy of the pick and of the best network."""
    lines = [
        "| set | images looked at | pick | its test accuracy | best on test | points below it "
        "| cost beside training all |",
        "|---|---|---|---|---|---|---|",
    ]
    within = known = 0
    for ranking in rankings:
        names = [row["name"] for row in ranking["networks"]]
        tested = {n: heads[ranking["set"], n] for n in names if (ranking["set"], n) in heads}
        trained = sum(row["train_seconds"] for row in ranking["networks"])
        cells = ["", "", ""]
        if len(tested) == len(names):
            best = max(tested, key=lambda name: tested[name])
            below = 100 * (tested[best] - tested[ranking["best"]])
            known, within = known + 1, within + (below <= 1.0)
            cells = [f"{tested[ranking['best']]:.3f}", f"{best} {tested[best]:.3f}", f"{below:.1f}"]
        lines.append(
            f"| {ranking['set']} | {ranking['images']} | {ranking['best']} | {' | '.join(cells)} "
            f"| {ranking['seconds'] / trained:.2f} |"
        )
    return [*lines, "", f"Within a point of the best on {within} of {known} sets."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="*", default=os.environ.get("TL_SETS", "").split(":"))
    parser.add_argument("--among", default="")
    parser.add_argument("--heads", type=Path, default=Path("docs/data/backbones.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs/data/rank.jsonl"))
    parser.add_argument("--limit", type=int, default=150)
    parser.add_argument("--docs", action="store_true", help="Write docs/backbones.md; run nothing.")
    given = parser.parse_args()
    rankings = read(given.out)
    done = {row["set"] for row in rankings}
    folders = [p for root in given.sets if root for p in sorted(Path(root).iterdir()) if p.is_dir()]
    for images in [] if given.docs else folders:
        if images.name in done:
            continue
        rankings.append(measure(images, given.among, given.limit))
        with given.out.open("a") as file:
            file.write(json.dumps(rankings[-1]) + "\n")
        print(images.name, rankings[-1]["best"], file=sys.stderr, flush=True)
    heads = {(row["set"], row["backbone"]): row["accuracy"] for row in read(given.heads)}
    lines = table(rankings, heads)
    print("\n".join(lines))
    if given.docs:
        pages.put("backbones.md", "rank", lines)


def read(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


if __name__ == "__main__":
    main()
