"""How near do predicted numbers come? Quantities that photos have, or that were made in them.

    python scripts/bench_regression.py SETS [--images 300] [--only NAME,...] [--tuned NAME,...]
    python scripts/bench_regression.py SETS --swapped 0.05 [--images 500] [--only NAME,...]
    python scripts/bench_regression.py --table

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. No set
there has numbers for labels, so these are made, each from photos, of which the number is true:

- angle: photos of flowers, each turned by -45 to 45 degrees, its corners cut off;
- scale: photos of trashnet on grey, each 0.3 to 1 times as wide as the picture;
- green: the share of pixels of photos of flowers in which green is the strongest channel;
- digit: the digit that a hand shows (sign_digits), as a number.

Test images are made of test photos. `tl train` is run as a person would run it on the table of
them, the head alone; with --tuned NAME also with --freeze half. One JSON line a run: mae,
guessing_mae (of always saying the median), rmse, r2, spearman and their intervals on the test
images; the conformal interval and the share of test images that it covered. --table prints
Markdown.

With --swapped SHARE so many of the numbers to learn from are given to each other, in a ring, and
`tl inspect RUN --label-errors` is asked which look wrong: `wrong` of the training images are,
`named` were named, and `right` of these rightly; `clean`: how many are named where nothing was
swapped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

SIDE = 224  # pixels
TEST = 200  # images
OUT, SWAPS = Path("docs/data/regression.jsonl"), Path("docs/data/regression_swaps.jsonl")
Drawn = tuple[Image.Image, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sets", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--only", default=",".join(QUANTITIES))
    parser.add_argument("--tuned", default="")
    parser.add_argument("--swapped", type=float)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.table:
        print(table(asked.out or OUT) + "\n\n" + table_of_swaps(asked.out or SWAPS))
        return
    if not asked.sets:
        parser.error("give the folder of sets, or TL_SETS")
    tuned = asked.tuned.split(",")
    for name in asked.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            made(Path(asked.sets), Path(folder), name, asked.images)
            if asked.swapped:
                written(
                    {"quantity": name, **swapped(Path(folder), asked.swapped)}, asked.out or SWAPS
                )
                continue
            for freeze in ("head", *(("half",) if name in tuned else ())):
                row = {"quantity": name, "freeze": freeze, **measured(Path(folder), freeze)}
                written(row, asked.out or OUT)


def written(row: dict[str, Any], file: Path) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


# == quantities ====================================================================================


def opened(path: Path) -> Image.Image:
    """Return a photo as a square of SIDE pixels, upright, its edges cut off."""
    with Image.open(path) as photo:
        return ImageOps.fit(ImageOps.exif_transpose(photo).convert("RGB"), (SIDE, SIDE))


def angle(path: Path, draw: random.Random) -> Drawn:
    degrees = round(draw.uniform(-45, 45), 1)
    turned = opened(path).rotate(degrees, Image.Resampling.BILINEAR)
    edge = int(SIDE * (1 - 2**-0.5) / 2) + 1  # no corner shows by how much
    return turned.crop((edge, edge, SIDE - edge, SIDE - edge)), degrees


def scale(path: Path, draw: random.Random) -> Drawn:
    share = round(draw.uniform(0.3, 1.0), 3)
    side = round(share * SIDE)
    whole = Image.new("RGB", (SIDE, SIDE), (128, 128, 128))
    place = draw.randint(0, SIDE - side), draw.randint(0, SIDE - side)
    whole.paste(opened(path).resize((side, side)), place)
    return whole, share


def green(path: Path, draw: random.Random) -> Drawn:
    image = opened(path)
    pixels = np.asarray(image, int)
    strongest = (pixels[..., 1] > pixels[..., 0]) & (pixels[..., 1] > pixels[..., 2])
    return image, round(float(strongest.mean()), 4)


def digit(path: Path, draw: random.Random) -> Drawn:
    return opened(path), float(path.parent.name.rpartition("_")[2])


QUANTITIES: dict[str, tuple[str, Callable[[Path, random.Random], Drawn]]] = {
    "angle": ("flowers", angle),
    "scale": ("trashnet", scale),
    "green": ("flowers", green),
    "digit": ("sign_digits", digit),
}


def made(sets: Path, folder: Path, name: str, number: int) -> None:
    """Write images and t.csv: so many to learn from and validate on, TEST or fewer to test on."""
    source, make = QUANTITIES[name]
    draw = random.Random(0)
    lines = [f"path,{name},split"]
    for part, split, most in (("train", "", number), ("test", "test", TEST)):
        photos = sorted((sets / source / part).glob("*/*"))
        draw.shuffle(photos)
        for i, photo in enumerate(photos[:most]):
            image, value = make(photo, draw)
            file = f"{part}-{i:04d}.jpg"
            image.save(folder / file, quality=92)
            lines.append(f"{file},{value},{split}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measured(folder: Path, freeze: str) -> dict[str, Any]:
    """Train on the table and return the figures on the test images."""
    told = trained(folder / "t.csv", freeze, folder / freeze)
    figures = told["metrics"]["test"]
    keep = (
        "n",
        "mae",
        "guessing_mae",
        "rmse",
        "r2",
        "spearman",
        "intervals",
        "interval",
        "covered",
    )
    return {
        "images": told["plan"]["size"] + told["metrics"]["val"]["n"],
        "head": told["head"]["kind"],
        "kept": told["tune"]["kept"] if told["tune"] else "head",
        **{name: figures[name] for name in keep},
        "seconds": told["seconds"]["total"],
    }


def trained(numbers: Path, freeze: str, run: Path) -> dict[str, Any]:
    name = numbers.read_text(encoding="utf-8").split(",")[1]
    return tl(
        *("train", numbers, "--task", "regression", "--columns", f"label={name}"),
        *("--freeze", freeze, "--output", run, "--no-report"),
    )


def tl(*words: object) -> dict[str, Any]:
    """Return what a command says as JSON."""
    command = [sys.executable, "-m", "tl_cli", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


# == numbers given to each other ===================================================================


def swapped(folder: Path, share: float) -> dict[str, Any]:
    """Give some training images each other's number; return which of them are found."""
    whole = trained(folder / "t.csv", "head", folder / "clean")
    head, *lines = (folder / "t.csv").read_text(encoding="utf-8").splitlines()
    right = {line.split(",")[0]: line.split(",")[1] for line in lines}
    training = sorted(training_of(folder / "clean"))
    chosen = random.Random(0).sample(training, round(share * len(training)))
    given = dict(zip(chosen, (right[name] for name in chosen[1:] + chosen[:1]), strict=True))
    rows = [
        f"{name},{given.get(name, right[name])},{line.split(',')[2]}"
        for name, line in zip(right, lines, strict=True)
    ]
    (folder / "swapped.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    trained(folder / "swapped.csv", "head", folder / "swapped")
    found = doubted(folder / "swapped")
    # the new labels may be dealt to other splits: what is asked about are training images
    asked = training_of(folder / "swapped")
    wrong = {name for name in given if given[name] != right[name] and name in asked}
    return {
        "images": whole["plan"]["size"],
        "wrong": len(wrong),
        "named": len(found),
        "right": len(wrong & set(found)),
        "clean": len(doubted(folder / "clean")),
    }


def doubted(run: Path) -> list[str]:
    """Return the names of the images that look wrong, the most doubtful first."""
    told = tl("inspect", run, "--label-errors", "--output", run / "doubts")
    return [Path(each["path"]).name for each in told["label_errors"]]


def training_of(run: Path) -> set[str]:
    lines = (run / "manifest.csv").read_text(encoding="utf-8").splitlines()
    return {Path(line.split(",")[0]).name for line in lines if ",train," in line}


def table_of_swaps(file: Path) -> str:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    head = (
        "quantity",
        "training images",
        "swapped",
        "named",
        "of these swapped",
        "named, none swapped",
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    keys = ("quantity", "images", "wrong", "named", "right", "clean")
    lines += [f"| {' | '.join(str(row[key]) for key in keys)} |" for row in rows]
    return "\n".join(lines)


def table(file: Path) -> str:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    head = (
        "quantity", "network", "images", "test", "off by", "95 %", "guessing", "R2", "order",
        "90 % within", "covered",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        low, high = row["intervals"]["mae"]
        how = "as it came" if row["freeze"] == "head" else f"half tuned, {row['kept']} kept"
        cells = [
            row["quantity"], how, row["images"], row["n"], f"{row['mae']:.3g}",
            f"{low:.3g} to {high:.3g}", f"{row['guessing_mae']:.3g}", f"{row['r2']:.2f}",
            f"{row['spearman']:.2f}", f"± {row['interval']['radius']:.3g}",
            f"{row['covered']:.0%}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
