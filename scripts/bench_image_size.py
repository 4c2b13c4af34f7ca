"""How large small images should be made: test accuracy of the solved head by image size.

    python scripts/bench_image_size.py SETS [--sets fashion_mnist,hand_shapes,...]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. The sample
digits (8 px) are always measured. Each figure is one `tl train --freeze head`, averaged over the
seeds 0 to 2 of the split. Prints a Markdown table.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from tl_cli import config
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_splits
from tl_cli.engine.context import prepare
from tl_cli.engine.head import choice
from tl_cli.results.progress import silent

SIZES = (32, 64, 96, 128, 160, 224)
SEEDS = (0, 1, 2)


def accuracy(source: str, size: int, seed: int) -> float:
    settings = config.RunConfig(data=source, freeze="head", image_size=size, seed=seed)
    context = prepare(settings, assign_splits(scan(source), seed=seed))
    head = choice.solve(context, choice.extract(context, silent))
    return float((head.probabilities("test").argmax(1) == context.labels("test")).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", default=os.environ.get("TL_SETS"))
    parser.add_argument("--sets", default="fashion_mnist,hand_shapes,omniglot_greek")
    given = parser.parse_args()
    if not given.where:
        parser.error("give the folder of sets, or set TL_SETS")
    sources = ["sample:digits", *(str(Path(given.where) / n) for n in given.sets.split(","))]
    print("| set | median side | " + " | ".join(f"{size} px" for size in SIZES) + " |")
    print("|---" * (len(SIZES) + 2) + "|")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TL_CACHE"] = cache
        for source in sources:
            side = statistics.median(min(r.width, r.height) for r in scan(source).records)
            cells = [
                f"{statistics.mean(accuracy(source, size, seed) for seed in SEEDS):.3f}"
                for size in SIZES
            ]
            print(f"| {Path(source).name} | {side:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
