"""The images to label next -> one PNG: a contact sheet, numbered as in the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.data.decode import open_rgb
from tl_cli.data.manifest import Record
from tl_cli.errors import TLError
from tl_cli.report.canvas import DPI, figure, saved
from tl_cli.report.figures.names import labels
from tl_cli.report.figures.style import in_style
from tl_cli.results.suggestions import Suggestion

if TYPE_CHECKING:
    import numpy as np

COLUMNS, MOST = 8, 200  # images side by side, and in all: a sheet is looked at
SIDE, GAP, LINE = 128, 10, 26  # pixels of a picture, between two, and below for a caption


@in_style
def contact_sheet(chosen: Sequence[Suggestion], path: Path) -> Path:
    """Draw the images in rows, each with its number and best guess; return where it lies."""
    import numpy as np

    shown = chosen[:MOST]
    columns = min(COLUMNS, len(shown))
    wide, high = SIDE + GAP, SIDE + GAP + LINE
    rows = -(-len(shown) // columns)
    canvas = np.full((high * rows, wide * columns, 3), 255, np.uint8)
    drawn = figure(wide * columns / DPI, high * rows / DPI)
    drawn.set_layout_engine("none")
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    guesses = labels([each.guesses[0][0] if each.guesses else "" for each in shown])
    for i, (each, guess) in enumerate(zip(shown, guesses, strict=True)):
        top, left = i // columns * high, i % columns * wide
        canvas[top : top + SIDE, left : left + SIDE] = _picture(each.path)
        place = (left, top + SIDE + LINE / 2)
        axes.text(*place, f"{i + 1}  {guess}".rstrip(), fontsize=7, va="center", clip_on=True)
    axes.imshow(canvas, interpolation="none")
    return saved(drawn, path)


def _picture(path: str) -> np.ndarray[Any, Any]:
    """Return a whole image in a white square; that alone where it can no longer be read."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        image = open_rgb(Record(path, ""), SIDE)
    except TLError:
        return np.full((SIDE, SIDE, 3), 255, np.uint8)
    small = max(image.size) <= SIDE
    resampling = Image.Resampling.NEAREST if small else Image.Resampling.BOX
    return np.asarray(ImageOps.pad(image, (SIDE, SIDE), resampling, color="white"))
