"""How far known images are from what a backbone was trained on: the anchors of similarity.

    python scripts/calibrate_similarity.py SETS [MORE] [--backbone NAME] [--weights FILE]
        [--sizes 64,128]

SETS is a folder of <set>/train/<class>/*; TL_SETS is used where it is not given; every set in MORE
is measured too. Prints the row of `catalog.ANCHORS` (photos: the mean of flowers and ants_bees,
letters: omniglot_greek), then each set's BatchNorm distance D with its thirds, its similarity S by
that row, and how much S varies over random subsets of 100 images, as Markdown.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from tl_cli import catalog, engine
from tl_cli.data.scan import scan
from tl_cli.engine import features
from tl_cli.engine.evidence import MOMENTS_OF, stratified
from tl_cli.engine.features import FeatureSpec, batchnorm_shift
from tl_cli.engine.networks import loading
from tl_cli.plan.evidence import similarity
from tl_cli.store import cache_folder

PHOTOS, LETTERS = ("flowers", "ants_bees"), ("omniglot_greek",)
OTHERS = ("trashnet", "sign_digits", "fashion_mnist", "hand_shapes")
SUBSETS, OF = 30, 100


def rows_of(where: Path, name: str, backbone: loading.Backbone) -> np.ndarray:
    source = name if ":" in name else str(where / name)
    records = [r for r in scan(source, cache=cache_folder.usable()).records if r.split != "test"]
    chosen = [records[i] for i in stratified(records, MOMENTS_OF)]
    return features.extract(backbone, chosen, [FeatureSpec(moments=True)])[0].array()


def measured(
    where: Path, more: Path | None, backbone: loading.Backbone
) -> dict[str, list[np.ndarray]]:
    """Return by set the distances [L] of all its images, then of random subsets."""
    found = {}
    rng = np.random.default_rng(0)
    others = sorted(path for path in more.resolve().iterdir() if path.is_dir()) if more else []
    for name in (*PHOTOS, *OTHERS, *LETTERS, "sample:digits", *map(str, others)):
        rows = rows_of(where, name, backbone)
        parts = [rows] + [rows[rng.permutation(len(rows))[:OF]] for _ in range(SUBSETS)]
        found[Path(name).name] = [batchnorm_shift.distances(backbone.model, part) for part in parts]
    return found


def mean(found: dict[str, list[np.ndarray]], names: tuple[str, ...]) -> float:
    return round(float(np.mean([found[name][0].mean() for name in names])), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("more", nargs="?", type=Path)
    parser.add_argument("--backbone", default=catalog.DEFAULT)
    parser.add_argument("--weights", default=loading.PRETRAINED)
    parser.add_argument("--sizes", default="32,64,96,128,160,224")
    given = parser.parse_args()
    if not given.where:
        parser.error("give the folder of sets, or set TL_SETS")
    engine.prepare("float32", 0)
    card = catalog.get(given.backbone)
    by_size = {
        size: measured(Path(given.where), given.more, loading.load(card, size, given.weights))
        for size in map(int, given.sizes.split(","))
    }
    anchors = {size: (mean(of, PHOTOS), mean(of, LETTERS)) for size, of in by_size.items()}
    print(f'"{card.name}": {anchors},\n')
    print("| px | set | D | early | middle | late | S | its deviation, 100 images |")
    print("|---|---|---|---|---|---|---|---|")
    for size, found in by_size.items():
        for name, layers in found.items():
            thirds = " | ".join(f"{part.mean():.3f}" for part in np.array_split(layers[0], 3))
            whole, *some = [similarity(d.mean(), anchors, size) for d in layers]
            figures = f"{layers[0].mean():.3f} | {thirds} | {whole:.2f} | {np.std(some):.3f}"
            print(f"| {size} | {name} | {figures} |")


if __name__ == "__main__":
    main()
