"""A plan and its evidence -> what each depth knows, and where the founding rule puts the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.plan import founding_rule
from tl_cli.plan.evidence import ACCURACY
from tl_cli.report.canvas import saved
from tl_cli.report.figures.style import (
    ACCENT,
    DASHED,
    DIM,
    DOTTED,
    WARM,
    axes_of,
    in_style,
    percents,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ADVICE = "advice.png"
BESIDE = {"joined": ("depths joined", DASHED), "pixels": ("the bare image", DOTTED)}
SIZES, STEPS = (50, 50_000), 40  # images, the ends of the map; cells a side


@in_style
def advice_png(plan: Mapping[str, Any], folder: Path) -> Path:
    """Draw a plan's evidence (its JSON, docs/json.md) and return where the picture lies.

    The founding rule is drawn where it decided.
    """
    ruled = by_the_rule(plan)
    drawn, axes = axes_of(11 if ruled else 6.5, 4.2, 2 if ruled else 1)
    probes(axes[0], plan["evidence"])
    axes[0].set_title("What each depth knows", pad=24)  # above the legend
    if ruled:
        rule(axes[1], plan)
        axes[1].set_title("The founding rule: the stronger the colour, the more it trains")
    return saved(drawn, folder / ADVICE)


def by_the_rule(plan: Mapping[str, Any]) -> bool:
    """Whether the founding rule chose the ratio of a plan (its JSON)."""
    return plan.get("policy") == "rule"


def probes(axes: Axes, evidence: Mapping[str, Any]) -> None:
    """Draw the accuracy of a head solved at each depth, the first on top, with a standard error."""
    rows = evidence["probes"]
    y, x = range(len(rows)), [row["accuracy"] for row in rows]
    errors = [row["stderr"] for row in rows]
    axes.errorbar(
        x, y, xerr=errors, color=ACCENT, lw=1.8, marker="o", ms=5, capsize=3, elinewidth=1
    )
    for key, (name, style) in BESIDE.items():
        if evidence.get(key):
            axes.axvline(evidence[key]["accuracy"], color=DIM, lw=1.2, ls=style, label=name)
    axes.set_yticks(list(y), [str(row["tap"]) for row in rows])
    plain = evidence.get("figure", ACCURACY) == ACCURACY
    label = "accuracy" if plain else "mean average precision"
    axes.set(xlabel=f"held-out {label}", ylim=(len(rows) - 0.5, -0.5))
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    if plain:
        percents(axes.xaxis)
    # to the left from the right edge: the names of the depths stand there and leave room
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)


def rule(axes: Axes, plan: Mapping[str, Any]) -> None:
    """Draw the share of layers that the rule trains, and where a plan's data stand in it."""
    low, high = SIZES
    sizes = [low * (high / low) ** (i / STEPS) for i in range(STEPS + 1)]
    similarities = [i / STEPS for i in range(STEPS + 1)]
    share = [[founding_rule(round(n), s) for n in sizes] for s in similarities]
    levels = [0, 0.001, 0.25, 0.5, 0.75, 1.0001]
    fills = axes.contourf(sizes, similarities, share, levels, colors=[ACCENT] * 5, antialiased=True)
    fills.set_alpha([0.02, 0.16, 0.32, 0.5, 0.7])
    size = min(max(plan["effective_size"], low), high)
    axes.plot([size], [plan["similarity"]], "o", color=WARM, ms=9)
    axes.set(xscale="log", xlabel="training images (effective)", ylabel="similarity")
    axes.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
    axes.grid(visible=False)
