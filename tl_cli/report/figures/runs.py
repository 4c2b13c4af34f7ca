"""Several runs side by side -> their learning curves and their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.report.canvas import saved
from tl_cli.report.comparison import Compared, Comparison
from tl_cli.report.figures.names import labels
from tl_cli.report.figures.style import (
    DASHED,
    DOTTED,
    SERIES,
    axes_of,
    in_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE_RANGE = 12  # times; beyond, an axis is logarithmic
LINES = ("-", DASHED, DOTTED)  # of runs on a page, once all colours are taken


@in_style
def comparison_png(found: Comparison, path: Path) -> Path:
    """Draw validation over time and over images seen, and the tested figures with intervals."""
    drawn, axes = axes_of(12, 4, 3, width_ratios=(3, 3, 2.4))
    over_time, over_images, tested = axes
    names = labels([run.name for run in found.runs])
    for across, what in ((over_time, "seconds"), (over_images, "images")):
        for number, (run, name) in enumerate(zip(found.runs, names, strict=True)):
            _curve(across, run, name, what, SERIES[number % len(SERIES)])
        _scaled(across, [getattr(p, what) for run in found.runs for p in run.curve])
        across.set_ylim(-0.02, 1.02)
    over_time.set(xlabel="seconds of the run", ylabel=f"validation {found.measure.drawn}")
    over_images.set(xlabel="looks at training images")
    _tested(tested, found.runs)
    handles, _ = over_time.get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper left", ncols=len(names))
    return saved(drawn, path)


def _curve(axes: Axes, run: Compared, name: str, what: str, colour: str) -> None:
    across = [getattr(point, what) for point in run.curve]
    axes.plot(
        across,
        [max(0.0, point.figure) for point in run.curve],
        "-o",
        ms=3.5,
        color=colour,
        label=name,
    )


def _scaled(axes: Axes, values: list[float]) -> None:
    if min(values) > 0 and max(values) > WIDE_RANGE * min(values):
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)


def _tested(axes: Axes, runs: tuple[Compared, ...]) -> None:
    for number, run in enumerate(runs):
        (low, high), value, text = run.interval, run.figure, run.measure.write(run.figure)
        colour = SERIES[number % len(SERIES)]
        axes.plot([low, high], [number, number], color=colour, lw=3, alpha=0.45)
        axes.plot(value, number, "o", color=colour)
        axes.annotate(
            text,
            (value, number),
            (0, 7),
            textcoords="offset points",
            ha="center",
        )
    splits = sorted({run.split for run in runs})
    axes.set_xlabel(f"{' and '.join(splits)} {runs[0].measure.name}, 95 % interval")
    axes.set_yticks([])
    axes.set_ylim(len(runs) - 0.4, -0.6)


def overlaid(axes: Axes, histories: Mapping[int, Sequence[Mapping[str, float]]], loss: str) -> None:
    """Draw a loss on validation of several runs, by number, over the epochs."""
    for i, (number, history) in enumerate(histories.items()):
        epochs = [row["epoch"] for row in history]
        values = [row[f"val_{loss}"] for row in history]
        style: Any = LINES[i // len(SERIES) % len(LINES)]
        axes.plot(
            epochs, values, color=SERIES[i % len(SERIES)], lw=1.6, ls=style, label=f"{number}"
        )
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="epoch", ylabel=f"validation {loss.replace('_', ' ')}", ylim=(0, None))
    axes.legend(title="run", ncols=2)
