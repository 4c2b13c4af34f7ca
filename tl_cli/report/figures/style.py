"""The one palette, the page's own in the light, and what every figure has in common."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tl_cli.report.canvas import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

# by the names of the CSS variables in style.css, whose light theme has these very colours
PALETTE = {
    "ink": "#1f1e1b", "dim": "#6a6760", "line": "#e5e2da", "accent": "#2a6a86", "warm": "#b4542b",
}  # fmt: skip
INK, DIM, LINE, ACCENT, WARM = PALETTE.values()
SERIES = (ACCENT, WARM, "#4f8a4c", "#b8902a", "#7a5ea8", "#5b9fb0")  # of things side by side
SPLITS = {"train": ACCENT, "val": "#b8902a", "test": WARM, "all": ACCENT}
DASHED, DOTTED = (0, (4, 3)), (0, (1, 2))
RC: Any = {
    "text.color": INK,
    "axes.edgecolor": DIM,
    "axes.labelcolor": DIM,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": DIM,
    "ytick.color": DIM,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def in_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Have a function draw in this style, much of which is read only while something is drawn."""

    @functools.wraps(draw)
    def drawn(*arguments: P.args, **named: P.kwargs) -> T:
        import matplotlib

        with matplotlib.rc_context(RC):
            return draw(*arguments, **named)

    return drawn


def axes_of(
    width: float, height: float, columns: int = 1, **more: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure (inches) and its axes from left to right."""
    drawn = figure(width, height)
    return drawn, list(drawn.subplots(1, columns, squeeze=False, **more)[0])


def percent(share: float, _: float) -> str:
    """Say a share on an axis."""
    return f"{100 * share:.0f}%"
