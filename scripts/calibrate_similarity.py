"""How far known images are from what a backbone was trained on: the anchors of similarity.

    python scripts/calibrate_similarity.py SETS [MORE] [--backbones a,b=WEIGHTS] [--sizes 128]
        [--anchor-sizes 64,224] [--images 256] [--out FILE.jsonl] [--docs]

SETS is a folder of <set>/train/<class>/*; TL_SETS is used where it is not given; every set in MORE
is measured too. At --sizes all sets are measured, at --anchor-sizes those alone that the anchors
are made of (photos: the mean of flowers and ants_bees, letters: omniglot_greek). One JSON line a
set, network and size is appended to --out, and what stands there is not measured again. Prints the
rows of `catalog.ANCHORS`, then each set's BatchNorm distance D with its thirds, its similarity S
and how much S varies over random subsets of 100 images, then by set how far the networks agree, as
Markdown; --docs writes that last table into docs/policy.md and measures nothing.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pages

from tl_cli import catalog, engine
from tl_cli.data.scan import scan
from tl_cli.engine import features
from tl_cli.engine.evidence import MOMENTS_OF, stratified
from tl_cli.engine.features import FeatureSpec, batchnorm_shift
from tl_cli.engine.networks import loading
from tl_cli.plan.evidence import mean_anchors, similarity
from tl_cli.store import cache_folder

PHOTOS, LETTERS = ("flowers", "ants_bees"), ("omniglot_greek",)
OTHERS = ("trashnet", "sign_digits", "fashion_mnist", "hand_shapes")
SUBSETS, OF = 30, 100


def measured(source: str, backbone: loading.Backbone, images: int) -> dict:
    """Return D of all images by BatchNorm layer, and D of random subsets."""
    records = [r for r in scan(source, cache=cache_folder.usable()).records if r.split != "test"]
    chosen = [records[i] for i in stratified(records, images)]
    rows = features.extract(backbone, chosen, [FeatureSpec(moments=True)])[0].array()
    rng = np.random.default_rng(0)
    subsets = [rows[rng.permutation(len(rows))[:OF]] for _ in range(SUBSETS * (len(rows) > OF))]
    layers = batchnorm_shift.distances(backbone.model, rows)
    return {
        "thirds": [round(float(part.mean()), 5) for part in np.array_split(layers, 3)],
        "distance": round(float(layers.mean()), 5),
        "subsets": [
            round(float(batchnorm_shift.distances(backbone.model, part).mean()), 5)
            for part in subsets
        ],
        "images": len(chosen),
    }


def measure(where: Path, more: Path | None, given: argparse.Namespace, found: list[dict]) -> None:
    """Append what is not in `found` yet to it and to the file."""
    others = sorted(path for path in more.resolve().iterdir() if path.is_dir()) if more else []
    anchors = [str(where / name) for name in (*PHOTOS, *LETTERS)]
    every = [*anchors, *(str(where / name) for name in OTHERS), "sample:digits", *map(str, others)]
    wanted = [(int(size), every) for size in given.sizes.split(",") if size]
    wanted += [(int(size), anchors) for size in given.anchor_sizes.split(",") if size]
    done = {(row["backbone"], row["size"], row["set"]) for row in found}
    for network in given.backbones.split(","):
        name, _, weights = network.partition("=")
        for size, sources in wanted:
            backbone = None
            for source in sources:
                key = (name, size, Path(source).name)
                if key in done:
                    continue
                card = catalog.get(name)
                backbone = backbone or loading.load(card, size, weights or loading.PRETRAINED)
                row = {
                    "backbone": name,
                    "size": size,
                    "set": key[2],
                    **measured(source, backbone, given.images),
                }
                found.append(row)
                done.add(key)
                with given.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


def anchors_of(found: list[dict], name: str) -> dict[int, tuple[float, float]]:
    """Return the anchors of a network at each size at which all that make them were measured."""
    own: dict[int, dict[str, float]] = {}
    for row in found:
        if row["backbone"] == name:
            own.setdefault(row["size"], {})[row["set"]] = row["distance"]

    def mean(by_set: dict[str, float], names: tuple[str, ...]) -> float:
        return round(float(np.mean([by_set[each] for each in names])), 3)

    return {
        size: (mean(by_set, PHOTOS), mean(by_set, LETTERS))
        for size, by_set in sorted(own.items())
        if {*PHOTOS, *LETTERS} <= by_set.keys()
    }


def distances(found: list[dict], name: str) -> list[str]:
    anchors = anchors_of(found, name)
    lines = [
        "| px | set | D | early | middle | late | S | its deviation, 100 images |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted((r for r in found if r["backbone"] == name), key=lambda r: r["size"]):
        size = row["size"]
        thirds = " | ".join(f"{part:.3f}" for part in row["thirds"])
        whole = similarity(row["distance"], anchors, size)
        spreads = [similarity(d, anchors, size) for d in row["subsets"]]
        spread = f"{np.std(spreads):.3f}" if spreads else ""  # of no more than a subset's images
        figures = f"{row['distance']:.3f} | {thirds} | {whole:.2f} | {spread}"
        lines.append(f"| {size} | {row['set']} | {figures} |")
    return lines


def agreement(found: list[dict], names: list[str], size: int) -> list[str]:
    """Return by set each network's S, by its own anchors and by the mean of the others'."""
    own = {name: anchors_of(found, name) for name in names}
    of_others = {
        name: mean_anchors([own[other] for other in names if other != name]) for name in names
    }
    at = {(r["backbone"], r["set"]): r["distance"] for r in found if r["size"] == size}
    sets = [s for s in dict.fromkeys(r["set"] for r in found) if all((n, s) in at for n in names)]
    lines = [
        f"| set | {' | '.join(names)} | farthest apart | by the others' anchors, farthest off |",
        "|---" * (3 + len(names)) + "|",
    ]
    apart, off = [], []
    for each in sets:
        values = {n: similarity(at[n, each], own[n], size) for n in names}
        guesses = {n: similarity(at[n, each], of_others[n], size) for n in names}
        apart.append(max(values.values()) - min(values.values()))
        off.append(max(abs(values[n] - guesses[n]) for n in names))
        cells = " | ".join(f"{values[n]:.2f} ({guesses[n]:.2f})" for n in names)
        lines.append(f"| {each} | {cells} | {apart[-1]:.2f} | {off[-1]:.2f} |")
    lines += [
        "",
        f"At {size} px; in brackets S by the mean of the other networks' anchors. Within 0.1 of "
        f"each other on {sum(a <= 0.1 for a in apart)} of {len(sets)} sets (at most "
        f"{max(apart):.2f} apart); by the others' anchors at most {max(off):.2f} off.",
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("more", nargs="?", type=Path)
    parser.add_argument("--backbones", default=catalog.DEFAULT)
    parser.add_argument("--sizes", default="128")
    parser.add_argument("--anchor-sizes", default="32,64,96,160,224")
    parser.add_argument("--images", type=int, default=MOMENTS_OF, help="Of a set, at most.")
    parser.add_argument("--out", type=Path, default=Path("docs/data/similarity.jsonl"))
    parser.add_argument(
        "--docs", action="store_true", help="Write docs/policy.md; measure nothing."
    )
    given = parser.parse_args()
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    found = [json.loads(line) for line in lines]
    if not given.docs:
        if not given.where:
            parser.error("give the folder of sets, or set TL_SETS")
        engine.prepare("float32", 0)
        measure(Path(given.where), given.more, given, found)
    names = list(dict.fromkeys(row["backbone"] for row in found))
    sizes = [int(size) for size in given.sizes.split(",") if size]
    for name in names:
        print(f'"{name}": {anchors_of(found, name)},\n')
        print("\n".join(distances(found, name)), end="\n\n")
    agreed = agreement(found, names, sizes[0]) if sizes else []
    print("\n".join(agreed))
    if given.docs:
        pages.put("policy.md", "agreement", agreed)


if __name__ == "__main__":
    main()
