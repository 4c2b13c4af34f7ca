"""Answers -> PNG of their curves: reliability, ROC, precision and recall. Knows no networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.report.canvas import figure, saved
from tl_cli.report.pictures import labels
from tl_cli.results.evaluation import Area, Diagnostics

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    Array = np.ndarray[Any, Any]

RELIABILITY, ROC, PRECISION_RECALL = "reliability.png", "roc.png", "precision_recall.png"
MOST_NAMED = 10  # curves with a name; the classes that are told apart the least
BLUE, GREY = "#4477aa", "#999999"


def reliability_png(told: Diagnostics, folder: Path) -> Path:
    """Draw how often answers were right against how sure they were."""
    drawn = figure(5, 5)
    axes = drawn.subplots()
    bins = told.calibration.bins
    most = max(b.n for b in bins)
    sure, right = [b.confidence for b in bins], [b.accuracy for b in bins]
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1, label="perfectly calibrated")
    axes.vlines(sure, sure, right, color=BLUE, lw=1.2)
    axes.scatter(sure, right, [15 + 180 * b.n / most for b in bins], color=BLUE)
    title = f"Reliability: calibration error {told.calibration.ece:.3f}"
    _framed(axes, title, "how sure", "how often right")
    axes.legend(frameon=False, loc="upper left")
    return saved(drawn, folder / RELIABILITY)


def roc_png(told: Diagnostics, probabilities: Array, numbers: Array, folder: Path) -> Path:
    """Draw each class's ROC against the rest. Float [n, C], int [n]."""
    from sklearn.metrics import roc_curve

    def curve(own: Array, p: Array) -> tuple[Array, Array]:
        false, true, _ = roc_curve(own, p)
        return false, true

    title = f"ROC: mean area {_area(told.roc_area)}"
    drawn = _by_class(told, probabilities, numbers, curve, lambda area: area.roc, title)
    axes = drawn.axes[0]
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1)
    axes.set(xlabel="false positives, share of the rest", ylabel="recall")
    return saved(drawn, folder / ROC)


def precision_recall_png(
    told: Diagnostics, probabilities: Array, numbers: Array, folder: Path
) -> Path:
    """Draw each class's precision against its recall. Float [n, C], int [n]."""
    from sklearn.metrics import precision_recall_curve

    def curve(own: Array, p: Array) -> tuple[Array, Array]:
        precision, recall, _ = precision_recall_curve(own, p)
        return recall, precision

    title = f"Precision and recall: mean area {_area(told.precision_recall_area)}"
    drawn = _by_class(
        told, probabilities, numbers, curve, lambda area: area.precision_recall, title
    )
    drawn.axes[0].set(xlabel="recall", ylabel="precision")
    return saved(drawn, folder / PRECISION_RECALL)


def _by_class(
    told: Diagnostics,
    probabilities: Array,
    numbers: Array,
    curve: Callable[[Array, Array], tuple[Array, Array]],
    under: Callable[[Area], float | None],
    title: str,
) -> Any:
    """Return a figure with a curve a class, the smallest areas named and in colour."""
    drawn = figure(6, 5)
    axes = drawn.subplots()
    names = labels([area.name for area in told.areas])
    there = [i for i, area in enumerate(told.areas) if under(area) is not None]
    ranked = sorted(there, key=lambda i: under(told.areas[i]) or 0.0)
    for i in reversed(ranked):
        x, y = curve(numbers == i, probabilities[:, i])
        if i in ranked[:MOST_NAMED]:
            axes.plot(x, y, lw=1.4, label=f"{names[i]}  {_area(under(told.areas[i]))}")
        else:
            axes.plot(x, y, lw=0.8, color=GREY, alpha=0.4)
    _framed(axes, title, "", "")
    _legend(axes, ranked)
    return drawn


def _legend(axes: Axes, ranked: Sequence[int]) -> None:
    title = "class, area" if len(ranked) <= MOST_NAMED else "the least told apart"
    axes.legend(frameon=False, title=title, fontsize=8, loc="best", reverse=True)


def _framed(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set(xlim=(-0.01, 1.02), ylim=(-0.01, 1.04), xlabel=x, ylabel=y)
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _area(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
