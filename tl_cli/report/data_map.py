"""RunFacts -> the map of a run's images on its page: points, marks, and pictures that are shown.

All pictures are one JPEG of tiles, held once by the page: no script, and nothing from outside.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from tl_cli.data import pixel_cache, presence
from tl_cli.data.decode import open_rgb
from tl_cli.data.manifest import Record
from tl_cli.errors import TLError
from tl_cli.humanize import percent, short
from tl_cli.report import images
from tl_cli.report.facts import RunFacts
from tl_cli.results import data_map
from tl_cli.store import run_dir

if TYPE_CHECKING:
    from PIL.Image import Image

TILE = 48  # pixels a side, as in style.css
COLOURS = ("accent", "green", "violet", "gold", "dim")  # variables of style.css, none for marks
SIZE = re.compile("[1-9][0-9]{1,3}")  # pixels a side of kept images: a run may be anybody's
MOST_NAMES = 12  # classes that are named on the map


@dataclass(frozen=True)
class Dot:
    """One image on the map, in percent of its sides."""

    left: float
    top: float
    number: int  # of its class
    kind: str  # "", wrong, doubtful, or both
    tile: str  # where its picture lies in the sheet, as CSS; "" where there is none
    text: str
    file: str


@dataclass(frozen=True)
class Name:
    """A class's name, in the middle of its images."""

    left: float
    top: float
    text: str


@dataclass(frozen=True)
class DataMap:
    """All that the page shows of the map."""

    dots: tuple[Dot, ...]
    names: tuple[Name, ...]
    colours: tuple[str, ...]  # of each class, as CSS
    sheet: str  # the tiles, for `url()`; "" where no image is there
    columns: int
    total: int  # images of the run
    wrong: int
    doubtful: int

    @property
    def bytes(self) -> int:
        """What the pictures take of the page."""
        return len(self.sheet)


def of_run(facts: RunFacts) -> DataMap | None:
    """Return the map of a run; None where it has none. Raises TLError where that is damaged."""
    records = {record.path: record for record in facts.manifest.records}
    found = [p for p in data_map.read(facts.run / run_dir.MAP) if p.path in records]
    if not found:
        return None
    classes = {name: i for i, name in enumerate(facts.manifest.classes)}
    wrong = {p.path: p for p in facts.predictions if not p.right}
    own = [records[point.path] for point in found]
    size = facts.config["image_size"]
    tiles = _tiles(own, int(size) if SIZE.fullmatch(str(size)) else None)
    columns = max(1, math.ceil(math.sqrt(len(tiles))))
    at = {path: divmod(i, columns) for i, path in enumerate(tiles)}
    dots = []
    for point, record in zip(found, own, strict=True):
        said = wrong.get(point.path)
        kinds = ["wrong"] * bool(said) + ["doubtful"] * point.doubtful
        text = f"{record.label}" + (
            f", taken for {said.predicted} ({percent(said.probability)})" if said else ""
        )
        text += ": the label looks wrong" if point.doubtful else ""
        row, column = at.get(point.path, (-1, -1))
        tile = f"{-column * TILE}px {-row * TILE}px" if row >= 0 else ""
        dots.append(Dot(_place(point.x), _place(point.y), classes[record.label],
                        " ".join(kinds), tile, text, short(point.path).strip("'\"")))  # fmt: skip
    dots.sort(key=lambda dot: bool(dot.kind))  # marked ones lie on top
    return DataMap(
        tuple(dots),
        tuple(_names(dots, facts.manifest.classes)),
        tuple(_colour(i, len(classes)) for i in range(len(classes))),
        _sheet(list(tiles.values()), columns),
        columns,
        len(facts.manifest.records),
        sum("wrong" in dot.kind for dot in dots),
        sum("doubtful" in dot.kind for dot in dots),
    )


def _place(share: float) -> float:
    return round(2 + 96 * share, 2)


def _colour(number: int, classes: int) -> str:
    """Return a class's colour: of the page's own while they last, else around the circle."""
    if classes <= len(COLOURS):
        return f"var(--{COLOURS[number]})"
    return f"hsl({round(360 * number / classes)} 48% 52%)"


def _names(dots: Sequence[Dot], classes: Sequence[str]) -> list[Name]:
    """Return the names of the classes with the most images, each where most of them lie."""
    own: dict[int, list[Dot]] = defaultdict(list)
    for dot in dots:
        own[dot.number].append(dot)
    most = sorted(own, key=lambda number: -len(own[number]))[:MOST_NAMES]
    return [
        Name(round(median(d.left for d in own[n]), 1), round(median(d.top for d in own[n]), 1),
             classes[n])
        for n in sorted(most)
    ]  # fmt: skip


def _tiles(records: Sequence[Record], size: int | None) -> dict[str, Image]:
    """Return the pictures that are there, by path: from kept pixels, or else from the files."""
    from PIL import Image as pillow

    tiles, kept = {}, None
    if size:
        with contextlib.suppress(OSError):
            table = pixel_cache.table(size)
            order, rows = table.find([record.digest for record in records])
            kept = [rows[i].reshape(size, size, 3) if i >= 0 else None for i in order.tolist()]
    for i, record in enumerate(records):
        pixels = kept[i] if kept else None
        if pixels is not None:
            tiles[record.path] = pillow.fromarray(pixels).resize((TILE, TILE))
        elif presence.state(record) == presence.SAME:
            with contextlib.suppress(TLError):
                tiles[record.path] = open_rgb(record, TILE).resize((TILE, TILE))
    return tiles


def _sheet(tiles: Sequence[Image], columns: int) -> str:
    """Return all pictures as one, for `url()`."""
    from PIL import Image as pillow

    if not tiles:
        return ""
    rows = math.ceil(len(tiles) / columns)
    sheet = pillow.new("RGB", (columns * TILE, rows * TILE))
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        sheet.paste(tile, (column * TILE, row * TILE))
    return images.embedded(sheet)
