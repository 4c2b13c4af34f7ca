"""Make the photographs of `sample:things` from GCompris' source tree, and a table of their origins.

    python scripts/make_sample.py GCOMPRIS/src/activities

GCompris (https://gcompris.net, version 3.1) ships photographs that are in the public domain or CC0;
each folder's README names author, source and licence of each. Those of five classes are taken,
made at most 160 px wide and high, and written to tl_cli/data/sources/things/CLASS/NAME.webp;
ORIGINS.csv beside them has a row an image. One of two photographs of the same building is left out.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

THINGS = Path(__file__).parent.parent / "tl_cli" / "data" / "sources" / "things"
FREE = ("CC0-1.0", "Public Domain")
SIDE = 160  # px
QUALITY = 80
# class: folders below src/activities, and what their names begin with
CLASSES = {
    "animal": (
        ("explore_farm_animals/resource/animals", ""),
        ("explore_world_animals/resource/animals", ""),
    ),
    "fish": (("categorization/resource/images/fishes", "fish"),),
    "monument": (
        ("categorization/resource/images/monuments", ""),
        ("explore_monuments/resource/egypt", ""),
        ("explore_monuments/resource/france", ""),
        ("explore_monuments/resource/germany", ""),
        ("explore_monuments/resource/india", ""),
    ),
    "tool": (("categorization/resource/images/tools", ""),),
    "windmill": (("categorization/resource/images/renewable", "windmill"),),
}
SAME = {"bentPyramid", "greatPyramid", "qutubMinar"}  # of a building that another one shows


def origins(folder: Path) -> dict[str, dict[str, str]]:
    """Return what the README of a folder, or of the one above, says of its images, by name."""
    by_name = {}
    readme = next(p / "README" for p in (folder, folder.parent) if (p / "README").is_file())
    for block in re.split(r"\n\s*\n", readme.read_text("utf-8")):
        facts = dict(re.findall(r"^(Copyright|Source|License): *(.*?)\s*$", block, re.MULTILINE))
        for name in re.findall(r"[\w.-]+\.webp", block):
            by_name[name] = facts
    return by_name


def photographs(activities: Path) -> Iterator[tuple[str, Path, dict[str, str]]]:
    """Yield (class, file, origin) of each free photograph, no name of a class twice."""
    for label, places in CLASSES.items():
        names = set()
        for place, beginning in places:
            of = origins(activities / place)
            for file in sorted((activities / place).glob(f"{beginning}*.webp")):
                facts = of.get(file.name, {})
                if file.stem in names | SAME or facts.get("License") not in FREE:
                    continue
                names.add(file.stem)
                yield label, file, facts


def main() -> None:
    rows = []
    for label, file, facts in photographs(Path(sys.argv[1])):
        target = THINGS / label / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            small = image.convert("RGB")
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        small.save(target, quality=QUALITY, method=6)
        rows.append((f"{label}/{file.name}", facts["Copyright"], facts["License"], facts["Source"]))
    with (THINGS / "ORIGINS.csv").open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerows([("file", "author", "licence", "source"), *rows])
    size = sum(file.stat().st_size for file in THINGS.rglob("*.webp"))
    print(f"{len(rows)} photographs, {size:,} bytes")


if __name__ == "__main__":
    main()
