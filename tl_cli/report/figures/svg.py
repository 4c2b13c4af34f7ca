"""A figure -> SVG that takes its colours from the page, so that it is right in light and in dark.

The palette's colours become the page's CSS variables, the font the page's own. Text of the user's
is left to the page's HTML, which has every script and escapes it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from tl_cli.report.figures.style import PALETTE, RC, axes_of

WIDTH, HEIGHT = 4.5, 2.9  # inches; 324 points: on a phone a point is about a pixel
FOR_THE_PAGE: Any = RC | {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tl",
    "text.parse_math": False,
}


def svg(draw: Callable[..., None], *arguments: Any) -> str:
    """Return what `draw(axes, *arguments)` draws."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context(FOR_THE_PAGE):
        figure, [axes] = axes_of(WIDTH, HEIGHT)
        draw(axes, *arguments)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return _with_variables(out.getvalue())


def _with_variables(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"font(?:-family)?: ([\d.]+px )?'[^;\"]*", _font, svg)
    for name, colour in PALETTE.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.replace("<svg", '<svg aria-hidden="true"', 1)


def _font(match: re.Match[str]) -> str:
    return f"font-size: {match[1].strip()}" if match[1] else "font-family: inherit"
