"""Runs over time -> pictures. Knows nothing of how they were trained."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from tl_cli.report.canvas import figure, saved
from tl_cli.report.comparison import Compared, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
WIDE_RANGE = 12  # times; beyond, an axis is logarithmic
WEIGHTED = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense", "EinsumDense")


def comparison_png(found: Comparison, path: Path) -> Path:
    """Draw validation over time and over images seen, and the test accuracies with intervals."""
    drawn = figure(12, 4)
    over_time, over_images, tested = drawn.subplots(1, 3, width_ratios=(3, 3, 2.4))
    for axes, what in ((over_time, "seconds"), (over_images, "images")):
        for number, run in enumerate(found.runs):
            _curve(axes, run, what, COLOURS[number % len(COLOURS)])
        _scaled(axes, [getattr(p, what) for run in found.runs for p in run.curve])
        axes.set_ylim(-0.02, 1.02)
    over_time.set(xlabel="seconds of the run", ylabel="validation accuracy")
    over_images.set(xlabel="looks at training images")
    _tested(tested, found.runs)
    for axes in (over_time, over_images, tested):
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = over_time.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False)
    return saved(drawn, path)


def _curve(axes: Axes, run: Compared, what: str, colour: str) -> None:
    across = [getattr(point, what) for point in run.curve]
    axes.plot(
        across, [point.accuracy for point in run.curve], "-o", ms=3.5, color=colour, label=run.name
    )


def _scaled(axes: Axes, values: list[float]) -> None:
    if min(values) > 0 and max(values) > WIDE_RANGE * min(values):
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)


def _tested(axes: Axes, runs: tuple[Compared, ...]) -> None:
    for number, run in enumerate(runs):
        low, high = run.intervals["accuracy"]
        value = run.figures["accuracy"]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot([low, high], [number, number], color=colour, lw=3, alpha=0.45)
        axes.plot(value, number, "o", color=colour)
        axes.annotate(
            f"{value:.3f}", (value, number), (0, 7), textcoords="offset points", ha="center"
        )
    splits = sorted({run.split for run in runs})
    axes.set_xlabel(f"{' and '.join(splits)} accuracy, 95 % interval")
    axes.set_yticks([])
    axes.set_ylim(len(runs) - 0.4, -0.6)


def gradients_png(table: Path, path: Path) -> Path:
    """Draw the size of the gradient against depth, a line an epoch, from a run's gradients.csv."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] in WEIGHTED]
    drawn = figure(8, 4.5)
    axes = drawn.subplots()
    epochs = sorted({int(row["epoch"]) for row in rows})
    from matplotlib import colormaps

    for number, epoch in enumerate(epochs):
        depths = _by_depth([row for row in rows if int(row["epoch"]) == epoch])
        named = number in {0, len(epochs) // 2, len(epochs) - 1}
        axes.plot(
            list(depths),
            list(depths.values()),
            color=colormaps["viridis"](number / max(1, len(epochs) - 1) * 0.9),
            lw=1.2,
            label=f"epoch {epoch}" if named else None,
        )
    axes.set(yscale="log", xlabel="weighted layer, from the input", ylabel="gradient, RMS")
    axes.set_title("Gradient flow: convolutions and dense layers", loc="left")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return saved(drawn, path)


def _by_depth(rows: list[dict[str, str]]) -> dict[int, float]:
    """Return the median over the steps of an epoch; none is drawn of a gradient that is zero."""
    seen: dict[int, list[float]] = {}
    for row in rows:
        seen.setdefault(int(row["depth"]), []).append(float(row["rms"]))
    medians = {depth: statistics.median(seen[depth]) for depth in sorted(seen)}
    return {depth: value for depth, value in medians.items() if value > 0}
