"""What ten million images would take, from unit costs measured here: a plan on paper.

    python scripts/bench_scale.py SETS [--set trashnet] [--images 10000000]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. Measured:
the bytes that an image leaves on disk, by backbone and dtype, and the CPU time of the one pass of
the default backbone on the set's images, decoding and all. Reckoned from it: disk and hours for as
many workers, with the images a second of a GPU as a number to put in. Prints Markdown tables.
"""

import argparse
import os
import time
from pathlib import Path

from bench_policy import manifest_of

from tl_cli import catalog, config
from tl_cli.engine import features
from tl_cli.engine.context import feature_spec_of
from tl_cli.engine.networks import loading
from tl_cli.store.rows import Table

BACKBONES = ("efficientnet_lite0", "mobilenet_v2", "resnet50", "efficientnetv2_b0")
GPU = 2_000  # images a second of one GPU: put in, not measured
WORKERS = (1, 8, 64)


def widths(name: str) -> tuple[int, int]:
    """Return the numbers in a row of the one pass, and those of the tensor at half."""
    from tl_cli.plan.blocks import nearest_cut

    card = catalog.get(name)
    backbone = loading.load(card, card.image_size, None)
    spec = feature_spec_of(backbone, config.RunConfig(data="", backbone=name))
    cut = nearest_cut(backbone.blocks, 0.5)
    return spec.width(backbone), backbone.blocks[cut - 1].cache_bytes // 2


def pass_seconds(where: Path, name: str, most: int = 256) -> tuple[float, int]:
    """Return CPU seconds an image of the one pass, and the side in pixels."""
    card = catalog.get(catalog.DEFAULT)
    backbone = loading.load(card, card.image_size, loading.PRETRAINED)
    records = manifest_of(where / name, None, 0).records
    spec = feature_spec_of(backbone, config.RunConfig(data=""))
    features.extract(backbone, records[:32], [spec], keep=False)  # traces the network
    some = records[32 : 32 + most]
    started = time.process_time()
    features.extract(backbone, some, [spec], keep=False)
    return (time.process_time() - started) / len(some), card.image_size


def hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 7200 else f"{seconds / 60:,.0f} min"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--set", default="trashnet")
    parser.add_argument("--images", type=int, default=10_000_000)
    options = parser.parse_args()
    n = options.images
    print(f"| backbone | numbers a row | float16 | float32 | {n:,} images | with the cut at half |")
    print("|---|---|---|---|---|---|")
    for name in BACKBONES:
        row, cut = widths(name)
        size = 2 * row + Table.LINE
        print(
            f"| {name} | {row:,} | {size:,} bytes | {4 * row + Table.LINE:,} bytes | "
            f"{n * size / 1e9:,.0f} GB | {n * (size + 2 * cut + Table.LINE) / 1e12:,.1f} TB |",
            flush=True,
        )
    each, side = pass_seconds(Path(options.where), options.set)
    print(f"\nThe one pass at {side} px: {1000 * each:.1f} ms of CPU time an image, measured.\n")
    print(f"| workers | {n:,} images, a CPU core each | a GPU each, at {GPU:,} images a second |")
    print("|---|---|---|")
    for workers in WORKERS:
        print(f"| {workers} | {hours(n * each / workers)} | {hours(n / GPU / workers)} |")


if __name__ == "__main__":
    main()
