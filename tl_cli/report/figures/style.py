"""The one look, of a page and of a PNG: its colours, and what every figure has in common."""

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
    "ink": "#1f1e1b", "dim": "#6a6760", "line": "#e5e2da", "card": "#ffffff",
    "accent": "#2a6a86", "warm": "#b4542b", "gold": "#a87d16", "green": "#4f8a4c",
    "violet": "#7a5ea8", "right": "#8fbdd1", "off": "#e9b397", "frozen": "#b9ccd4",
}  # fmt: skip
INK, DIM, LINE, CARD, ACCENT, WARM, GOLD, GREEN, VIOLET, RIGHT, OFF, FROZEN = PALETTE.values()
SERIES = (ACCENT, WARM, GREEN, GOLD, VIOLET, DIM)  # of things side by side
SPLITS = {"train": ACCENT, "val": GOLD, "test": WARM, "all": ACCENT}
DASHED, DOTTED = (0, (4, 3)), (0, (1, 2))
TEXT = 11.5  # points: no text of a figure is smaller
RC: Any = {
    "figure.facecolor": CARD,
    "axes.facecolor": CARD,
    "font.size": TEXT,
    "text.color": INK,
    "axes.titlesize": TEXT,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": TEXT,
    "axes.labelcolor": DIM,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": DIM,
    "ytick.labelcolor": DIM,
    "legend.frameon": False,
    "legend.fontsize": TEXT,
}


def in_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Have a function draw in this style, much of which is read only while something is drawn."""

    @functools.wraps(draw)
    def drawn(*arguments: P.args, **named: P.kwargs) -> T:
        import matplotlib

        with matplotlib.rc_context(RC | {"axes.prop_cycle": _cycle()}):
            return draw(*arguments, **named)

    return drawn


def _cycle() -> Any:
    from cycler import cycler

    return cycler(linestyle=["-", "--", ":"]) * cycler(color=SERIES)


def axes_of(
    width: float, height: float, columns: int = 1, **more: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure (inches) and its axes from left to right."""
    drawn = figure(width, height)
    return drawn, list(drawn.subplots(1, columns, squeeze=False, **more)[0])


def percent(share: float, _: float) -> str:
    """Say a share on an axis."""
    return f"{round(100 * share, 1):g}%"


def percents(axis: Any) -> None:
    """Have an axis say shares, in round steps and not too many."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(percent)
