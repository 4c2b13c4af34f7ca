"""Figures of matplotlib: without a display, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tl_cli.store import own_pages
from tl_cli.store.run_dir import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120


def figure(width: float, height: float) -> Figure:
    """Return an empty figure (inches) that needs no display."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def saved(drawn: Figure, path: Path) -> Path:
    """Write a figure as PNG, cut to what is drawn, and return where it lies.

    Raises TLError where something lies that is not ours.
    """
    own_pages.check(path)
    with replacing(path) as beside:
        drawn.savefig(
            beside, dpi=DPI, bbox_inches="tight", pad_inches=0.12, metadata=own_pages.OF_PICTURES
        )
    return path
