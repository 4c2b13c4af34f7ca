"""Numbers said and right -> how near they come, how errors are spread, how the numbers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tl_cli.report.figures.style import ACCENT, CARD, DASHED, DIM, RIGHT, SPLITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tl_cli.results.regression import ValuePrediction

BINS = 24
MOST_DOTS = 3_000  # more are a blot, and a large page


def scatter(axes: Axes, answers: Sequence[ValuePrediction], radius: float | None) -> None:
    """Draw what was said against what is right, and how far it may be off."""
    shown = answers[:: max(1, -(-len(answers) // MOST_DOTS))]
    true, told = [a.value for a in shown], [a.predicted for a in shown]
    ends = [min(true + told), max(true + told)]
    axes.plot(ends, ends, color=DIM, lw=1, ls=DASHED)
    if radius is not None:
        low, high = ([end + sign * radius for end in ends] for sign in (-1, 1))
        axes.fill_between(ends, low, high, color=RIGHT, alpha=0.35, lw=0)
    axes.scatter(true, told, 14, color=ACCENT, alpha=0.7, edgecolor=CARD, linewidth=0.3)
    axes.set(xlabel="right", ylabel="said")
    axes.locator_params(nbins=5)
    axes.grid(visible=True, axis="both")


def residuals(axes: Axes, answers: Sequence[ValuePrediction]) -> None:
    """Draw how often a number was off by so much."""
    axes.hist([a.error for a in answers], BINS, color=ACCENT)
    axes.axvline(0, color=DIM, lw=1, ls=DASHED)
    axes.set(xlabel="said less right", ylabel="images")
    axes.locator_params(nbins=5)


def spread(axes: Axes, values: Mapping[str, Sequence[float]]) -> None:
    """Draw how often each number is there, the splits one above the other."""
    there = {split: own for split, own in values.items() if own}
    colours = [SPLITS[split] for split in there]
    axes.hist([*there.values()], BINS, stacked=True, color=colours, label=[*there])
    axes.set(xlabel="number", ylabel="images")
    axes.locator_params(nbins=5)
    if len(there) > 1:
        axes.legend()
