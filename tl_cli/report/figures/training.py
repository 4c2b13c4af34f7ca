"""A training -> its log loss and its accuracy by epoch, and how its gradients flowed."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tl_cli.report.canvas import saved
from tl_cli.report.figures.style import ACCENT, DASHED, DIM, axes_of, in_style, percents

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tl_cli.results.learning_curve import LearningCurve

FOLLOWED = {  # columns of history.csv
    "val_accuracy": "accuracy",
    "val_average_precision": "mean average precision",
    "val_r2": "R², share of the variance",
}
JUDGED = {"val_log_loss": "log loss", "val_huber_loss": "Huber's loss"}
WEIGHTED = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense", "EinsumDense")


def losses(axes: Axes, history: Sequence[Mapping[str, float]], best: int) -> None:
    """Draw the loss by epoch, on training and on validation images; epoch 0 is the solved head."""
    epochs = [row["epoch"] for row in history]
    trained = [row for row in history if row["epoch"]]
    steps, own = [row["epoch"] for row in trained], [row["loss"] for row in trained]
    axes.plot(steps, own, color=DIM, lw=1.2, label="training")
    column = next(name for name in JUDGED if name in history[0])
    values = [row[column] for row in history]
    _with_best(axes, epochs, values, best)
    axes.set(xlabel="epoch", ylabel=JUDGED[column], ylim=(0, None))
    axes.legend()


def accuracies(axes: Axes, history: Sequence[Mapping[str, float]], best: int) -> None:
    """Draw validation accuracy by epoch, or what is followed in its place; 0 is the solved head."""
    epochs = [row["epoch"] for row in history]
    column = next(name for name in FOLLOWED if name in history[0])
    values = [row[column] for row in history]
    _with_best(axes, epochs, values, best)
    if not epochs[0]:  # from scratch there is none
        axes.axhline(values[0], color=DIM, lw=1, ls=DASHED, label="solved head")
    axes.set(xlabel="epoch", ylabel=FOLLOWED[column])
    if column == "val_accuracy":
        percents(axes.yaxis)
    axes.legend()


def _with_best(axes: Axes, epochs: Sequence[float], values: Sequence[float], best: int) -> None:
    axes.plot(epochs, values, color=ACCENT, lw=1.8, label="validation")
    if best in epochs:
        at = values[epochs.index(best)]
        axes.plot([best], [at], "o", color=ACCENT, ms=6, label=f"best, epoch {best}")
    axes.locator_params(axis="x", integer=True)


def learning(axes: Axes, curve: LearningCurve) -> None:
    """Draw accuracy on the held-out images against the training images; the last step is a guess.

    Every doubling of the images is as wide as the one before.
    """
    images = [point.images for point in curve.points]
    shares = [point.accuracy for point in curve.points]
    axes.plot(images, shares, "-o", color=ACCENT, lw=1.8, ms=6, label="measured")
    low, high = (min(1.0, shares[-1] + gain) for gain in curve.expected)
    ahead = [images[-1], 2 * images[-1]]
    axes.fill_between(ahead, [shares[-1], low], [shares[-1], high], color=ACCENT, alpha=0.18, lw=0)
    middle = (low + high) / 2
    axes.plot(ahead, [shares[-1], middle], color=ACCENT, lw=1.4, ls=DASHED, label="expected")
    axes.set_xscale("log", base=2)
    axes.set_xticks([*images, ahead[1]], [f"{n:,}" for n in (*images, ahead[1])])
    axes.minorticks_off()
    axes.set(xlabel="training images", ylabel="accuracy")
    axes.margins(x=0.08, y=0.12)
    percents(axes.yaxis)
    axes.legend(loc="lower right")


@in_style
def gradients_png(table: Path, path: Path) -> Path:
    """Draw the size of the gradient against depth, a line an epoch, from a run's gradients.csv."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] in WEIGHTED]
    drawn, [axes] = axes_of(8, 4.5)
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
    axes.set_title("Gradient flow: convolutions and dense layers")
    axes.legend()
    return saved(drawn, path)


def _by_depth(rows: list[dict[str, str]]) -> dict[int, float]:
    """Return the median over the steps of an epoch; none is drawn of a gradient that is zero."""
    seen: dict[int, list[float]] = {}
    for row in rows:
        seen.setdefault(int(row["depth"]), []).append(float(row["rms"]))
    medians = {depth: statistics.median(seen[depth]) for depth in sorted(seen)}
    return {depth: value for depth, value in medians.items() if value > 0}
