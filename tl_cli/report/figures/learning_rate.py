"""A learning rate range test -> the loss against the rate, with the rate that will be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tl_cli.report.canvas import saved
from tl_cli.report.figures.style import ACCENT, DASHED, DIM, WARM, axes_of, in_style
from tl_cli.results.learning_rate_test import LearningRateTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "learning_rate.png"
HEADROOM = 1.6  # times the first loss that is shown; a loss that runs away leaves the picture


@in_style
def learning_rate_png(tested: LearningRateTest, path: Path) -> Path:
    """Draw the test and return where the picture lies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn, [axes] = axes_of(8, 4.5)
    learning_rate(axes, tested)
    axes.set_title("Learning rate range test: the loss while the rate grows", pad=28)
    return saved(drawn, path)


def learning_rate(axes: Axes, tested: LearningRateTest) -> None:
    """Draw the loss of each step, its running mean, and the rate that will be used."""
    axes.plot(tested.rates, tested.losses, color=DIM, lw=0.8, alpha=0.5, label="each batch")
    axes.plot(tested.rates, tested.smoothed, color=ACCENT, lw=2, label="smoothed")
    axes.axvline(tested.used, color=WARM, lw=1.6, ls=DASHED, label=f"will be used: {tested.used:g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    top = HEADROOM * max(tested.smoothed[0], min(tested.smoothed))
    axes.set_ylim(0, top)
    axes.minorticks_off()
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
