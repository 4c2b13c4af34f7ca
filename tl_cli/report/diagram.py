"""A Summary -> a picture of the network. Knows nothing of how networks are built."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tl_cli.report.canvas import figure, saved
from tl_cli.report.figures.style import DIM, FROZEN, INK, OFF, in_style
from tl_cli.results.network_summary import INPUT, LayerRow, Summary, by_block
from tl_cli.store import own_pages
from tl_cli.store.run_dir import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BOXES = 60  # beyond, the blocks are drawn instead of the layers
FINISHING = ("ReLU", "BatchNormalization", "Activation", "Dropout")  # drawn with what they finish
WIDTH, HEIGHT = 2.9, 1.1  # inches of a place; a box leaves a margin in it
BOX = 0.86, 0.64  # of a place, across and down

Places = dict[str, tuple[float, int]]  # column, line


def network_png(found: Summary, path: Path, plot: Callable[[Path], None]) -> Path:
    """Draw the network into a PNG: boxes of our own, or `plot(path)` where graphviz is installed.

    `plot`: what draws the layers themselves by graphviz.
    """
    if _graphviz():
        own_pages.check(path)
        with replacing(path) as beside:
            plot(beside)
        return path
    return boxes_png(found, path)


def _graphviz() -> bool:
    return bool(shutil.which("dot") and importlib.util.find_spec("pydot"))


@in_style
def boxes_png(found: Summary, path: Path) -> Path:
    """Draw a box a layer, each below all that it takes; a box a block where there are many."""
    rows = _folded(found.rows)
    rows = rows if len(rows) <= MOST_BOXES else by_block(found.rows)
    start = LayerRow(INPUT, "", "", found.input_shape, 0, 0, False, ())
    places = _places(rows)
    wide = 1 + max(column for column, _ in places.values())
    deep = 1 + max(line for _, line in places.values())
    drawn = figure((wide + 0.4) * WIDTH, deep * HEIGHT)
    axes = drawn.subplots()
    axes.set(xlim=(-0.7, wide - 0.3), ylim=(deep - 0.2, -0.2))
    axes.axis("off")
    for row in (start, *rows):
        _box(axes, row, places[row.name])
        for name in row.inputs:
            _arrow(axes, places[name], places[row.name])
    totals = found.totals
    adds = totals["multiply_adds"] / 1e6
    counts = f"{totals['parameters']:,} parameters\n{adds:,.0f} M multiply-adds"
    axes.set_title(f"{found.name}\n{counts}", loc="left", fontsize=10)
    return saved(drawn, path)


def _folded(rows: Sequence[LayerRow]) -> tuple[LayerRow, ...]:
    """Return the rows with activations and the like taken into the row that they finish."""
    kept: dict[str, LayerRow] = {}
    stands_for: dict[str, str] = {INPUT: INPUT}
    for row in rows:
        inputs = tuple(stands_for[name] for name in row.inputs)
        into = kept.get(inputs[0]) if row.kind in FINISHING and len(inputs) == 1 else None
        if into:
            more = row.parameters + into.parameters
            kept[into.name] = replace(into, parameters=more)
        else:
            kept[row.name] = replace(row, inputs=inputs)
        stands_for[row.name] = into.name if into else row.name
    return tuple(kept.values())


def _places(rows: Sequence[LayerRow]) -> Places:
    """Return where each row stands: below its inputs, in the lane of one of them or a new one."""
    places: Places = {INPUT: (0, 0)}
    lanes = {INPUT: 0}
    taken: set[str] = set()  # rows whose lane goes on already
    for row in rows:
        line = 1 + max(places[name][1] for name in row.inputs)
        if len(row.inputs) == 1:
            [above] = row.inputs
            lane = lanes[above] if above not in taken else 1 + max(lanes.values())
            taken.add(above)
            places[row.name] = (lane, line)
        else:
            lane = min(lanes[name] for name in row.inputs)
            across = [places[name][0] for name in row.inputs]
            places[row.name] = (sum(across) / len(across), line)
        lanes[row.name] = lane
    first = [places[row.name][0] for row in rows if row.inputs == (INPUT,)]
    return places | {INPUT: (sum(first) / len(first), 0)}


def _box(axes: Axes, row: LayerRow, place: tuple[float, int]) -> None:
    from matplotlib.patches import FancyBboxPatch

    (x, y), (wide, high) = place, BOX
    colour = "white" if row.name == INPUT else FROZEN if row.frozen else OFF
    box = FancyBboxPatch(
        (x - wide / 2, y), wide, high, "round,pad=0,rounding_size=0.05", fc=colour, ec=DIM
    )
    axes.add_patch(box)
    shape = " x ".join(map(str, row.output_shape))
    facts = f"{shape}   {row.parameters:,}" if row.parameters else shape
    about = {"ha": "center", "va": "center"}
    axes.text(x, y + high * 0.32, row.name, about, fontsize=8, weight="bold")
    axes.text(x, y + high * 0.72, facts, about, fontsize=7, color=INK)


def _arrow(axes: Axes, above: tuple[float, int], below: tuple[float, int]) -> None:
    """Draw the way from one box down to another, in the gaps between boxes."""
    (x, y), (to_x, to_y) = (above[0], above[1] + BOX[1]), below
    gap = (1 - BOX[1]) / 2
    if x == to_x and below[1] > above[1] + 1:  # around the boxes between
        side = x - 0.5 - gap / 4
        way = [(x, y), (x, y + gap), (side, y + gap), (side, to_y - gap), (to_x, to_y - gap)]
    else:
        way = [(x, y), (x, to_y - gap), (to_x, to_y - gap)]
    axes.plot(*zip(*way, strict=True), color=DIM, lw=1, zorder=0)
    arrow = {"arrowstyle": "-|>", "color": DIM, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (to_x, to_y), way[-1], arrowprops=arrow, zorder=0)
