"""Answers -> can they be believed, how well are classes told apart, what is taken for what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.report.canvas import saved
from tl_cli.report.figures.names import labels
from tl_cli.report.figures.style import (
    ACCENT,
    CARD,
    DASHED,
    DIM,
    INK,
    LINE,
    OFF,
    RIGHT,
    axes_of,
    in_style,
    percent,
    percents,
)
from tl_cli.results.calibration import Answered, Bin
from tl_cli.results.evaluation import Area, Diagnostics, Evaluation
from tl_cli.store.run_dir import RunDir

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    Array = np.ndarray[Any, Any]

CONFUSION, RELIABILITY = "confusion.png", "reliability.png"
ROC, PRECISION_RECALL = "roc.png", "precision_recall.png"
MOST_NAMED = 10  # curves with a name; the classes that are told apart the least


def reliability(axes: Axes, bins: Sequence[Bin]) -> None:
    """Draw how often answers were right against how sure they were; a dot's area is its images."""
    most = max(b.n for b in bins)
    axes.plot([0, 1], [0, 1], color=DIM, lw=1, ls=DASHED, label="perfectly calibrated")
    sure, right = [b.confidence for b in bins], [b.accuracy for b in bins]
    axes.vlines(sure, sure, right, color=ACCENT, lw=1.2)
    axes.scatter(sure, right, [12 + 130 * b.n / most for b in bins], color=ACCENT)
    axes.set(xlabel="how sure", ylabel="how often right", xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
    percents(axes.xaxis)
    percents(axes.yaxis)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)  # above the dots


def coverage(axes: Axes, levels: Sequence[Answered]) -> None:
    """Draw accuracy against the share of images answered, as --min-confidence rises."""
    shown = [a for a in levels if a.accuracy is not None]
    x, y = [a.coverage for a in shown], [a.accuracy or 0.0 for a in shown]
    axes.plot(x, y, color=ACCENT, lw=1.8)
    axes.set(xlabel="share of images answered", ylabel="accuracy of the answers")
    axes.set(xlim=(0, 1.03))
    axes.margins(y=0.16)
    percents(axes.xaxis)
    percents(axes.yaxis)
    for level in (0.5, 0.9):
        near = min(shown, key=lambda a: abs(a.min_confidence - level))
        at = (near.coverage, near.accuracy or 0.0)
        axes.plot(*at, "o", color=ACCENT, ms=5)
        side, across = ("right", -6) if near.coverage > 0.3 else ("left", 6)  # within the axes
        axes.annotate(f"{percent(near.min_confidence, 0)} sure", at, (across, -4), ha=side,
                      va="top", textcoords="offset points",
                      bbox={"fc": CARD, "ec": "none", "alpha": 0.8, "pad": 1})  # fmt: skip


@in_style
def reliability_png(told: Diagnostics, folder: Path) -> Path:
    """Draw how often answers were right against how sure they were."""
    drawn, [axes] = axes_of(5, 5)
    reliability(axes, told.calibration.bins)
    axes.set_title(f"Reliability: calibration error {told.calibration.ece:.3f}", pad=28)
    return saved(drawn, folder / RELIABILITY)


@in_style
def confusion_png(result: Evaluation, run: RunDir) -> Path:
    """Draw the confusion matrix into the run directory and return where it lies."""
    side = max(4.5, 0.5 * len(result.classes) + 2.5)
    drawn, [axes] = axes_of(side, side)
    confusion(axes, result)
    return saved(drawn, run / CONFUSION)


def confusion(axes: Axes, result: Evaluation) -> None:
    """Draw the confusion matrix as the page does: the stronger a colour, the more of its class."""
    import numpy as np

    counts = np.array(result.confusion)
    names, totals = labels(result.classes), counts.sum(1, keepdims=True)
    share = (0.12 + 0.88 * counts / np.maximum(totals, 1))[..., None] * (counts > 0)[..., None]
    right, off, card = (_rgb(colour) for colour in (RIGHT, OFF, CARD))
    full = np.where(np.eye(len(names), dtype=bool)[..., None], right, off)
    nothing = card + 0.45 * (_rgb(LINE) - card)
    axes.imshow(np.where(share > 0, card + share * (full - card), nothing), interpolation="none")
    for (i, j), n in np.ndenumerate(counts):
        if n:
            axes.text(j, i, f"{n}", ha="center", va="center", color=INK)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation="vertical")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="answer", ylabel="true class")
    axes.set_xticks([i - 0.5 for i in ticks], minor=True)  # a gap between the cells
    axes.set_yticks([i - 0.5 for i in ticks], minor=True)
    axes.grid(visible=False)
    axes.grid(visible=True, which="minor", axis="both", color=CARD, lw=2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _rgb(colour: str) -> Array:
    import numpy as np
    from matplotlib.colors import to_rgb

    return np.array(to_rgb(colour))


@in_style
def roc_png(told: Diagnostics, probabilities: Array, numbers: Array, folder: Path) -> Path:
    """Draw each class's ROC against the rest. Float [n, C], int [n]."""
    from sklearn.metrics import roc_curve

    def curve(own: Array, p: Array) -> tuple[Array, Array]:
        false, true, _ = roc_curve(own, p)
        return false, true

    title = f"ROC: mean area {_area(told.roc_area)}"
    drawn = _by_class(told, probabilities, numbers, curve, lambda area: area.roc, title)
    axes = drawn.axes[0]
    axes.plot([0, 1], [0, 1], color=DIM, lw=1, ls=DASHED)
    axes.set(xlabel="false positives, share of the rest", ylabel="recall")
    return saved(drawn, folder / ROC)


@in_style
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
    drawn, [axes] = axes_of(6, 5)
    names = labels([area.name for area in told.areas])
    there = [i for i, area in enumerate(told.areas) if under(area) is not None]
    ranked = sorted(there, key=lambda i: under(told.areas[i]) or 0.0)
    for i in reversed(ranked):
        x, y = curve(numbers == i, probabilities[:, i])
        if i in ranked[:MOST_NAMED]:
            axes.plot(x, y, lw=1.4, label=f"{names[i]}  {_area(under(told.areas[i]))}")
        else:
            axes.plot(x, y, lw=0.8, color=DIM, alpha=0.4)
    axes.set(xlim=(-0.01, 1.02), ylim=(-0.01, 1.04), title=title)
    _legend(axes, ranked)
    return drawn


def _legend(axes: Axes, ranked: Sequence[int]) -> None:
    title = "class, area" if len(ranked) <= MOST_NAMED else "the least told apart"
    axes.legend(title=title, loc="best", reverse=True)


def _area(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
