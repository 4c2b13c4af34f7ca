"""A plan -> one PNG: what each depth knows, and where the data stand in the founding rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.plan import founding_rule
from tl_cli.report.canvas import figure as new_figure
from tl_cli.report.canvas import saved
from tl_cli.report.pictures import COLOURS, labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ADVICE = "advice.png"
SIZES = (50, 50_000)  # images, the ends of the map
STEPS = 60  # cells a side
LINES = {"joined": ("several depths joined", "--"), "pixels": ("the bare image, 16 x 16", ":")}


def advice_png(plan: Mapping[str, Any], folder: Path) -> Path:
    """Draw a plan's evidence (its JSON, docs/json.md) and return where the picture lies."""
    figure = new_figure(11, 4.2)
    depths, rule = figure.subplots(1, 2, width_ratios=(1.2, 1))
    _depths(depths, plan["evidence"])
    _rule(rule, plan)
    return saved(figure, folder / ADVICE)


def _depths(axes: Axes, seen: Mapping[str, Any]) -> None:
    rows = seen["probes"]
    names = labels([row["tap"] for row in rows])
    accuracies = [100 * row["accuracy"] for row in rows]
    errors = [100 * row["stderr"] for row in rows]
    axes.bar(names, accuracies, yerr=errors, color=COLOURS["all"], ecolor="#444444", capsize=3)
    for key, (name, style) in LINES.items():
        axes.axhline(100 * seen[key]["accuracy"], color="#444444", ls=style, lw=1.2, label=name)
    axes.set(ylim=(0, 100), ylabel="right when held out, %", title="What each depth knows")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(loc="lower right", framealpha=1, edgecolor="none")
    axes.spines[["top", "right"]].set_visible(False)


def _rule(axes: Axes, plan: Mapping[str, Any]) -> None:
    low, high = SIZES
    sizes = [low * (high / low) ** (i / STEPS) for i in range(STEPS + 1)]
    likeness = [i / STEPS for i in range(STEPS + 1)]
    share = [[100 * founding_rule(round(n), s) for n in sizes] for s in likeness]
    mesh = axes.pcolormesh(sizes, likeness, share, cmap="Blues", vmin=0, vmax=100, shading="auto")
    axes.figure.colorbar(mesh, ax=axes, label="layers trained by the rule, %")
    size = min(max(plan["effective_size"], low), high)
    axes.plot([size], [plan["similarity"]], "o", color=COLOURS["test"], ms=10, mec="white")
    axes.annotate("your data", (size, plan["similarity"]), (8, 8), textcoords="offset points")
    axes.set(
        xscale="log", xlabel="training images (effective)", ylabel="similarity",
        title="Where they stand in the founding rule",
    )  # fmt: skip
    axes.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
