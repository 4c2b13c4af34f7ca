"""Figures -> SVG that takes its colours from the page, so that it is right in light and in dark.

matplotlib draws with stand-in colours, which become the page's CSS variables. No text of the user's
is drawn: names stand in the page's own HTML, which has every script and escapes them.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tl_cli.plan import founding_rule
from tl_cli.results.calibration import Answered, Bin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 4.2, 2.8  # inches; 302 points, a phone's width, so that 10 points stay readable
INK, DIM, LINE, ACCENT, WARM, SOFT = (f"#0{i}0{i}0{i}" for i in range(1, 7))
VARIABLES = {
    INK: "--ink", DIM: "--dim", LINE: "--line", ACCENT: "--accent", WARM: "--warm", SOFT: "--soft",
}  # fmt: skip
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tl",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": DIM,
    "axes.edgecolor": LINE,
    "axes.labelcolor": DIM,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": DIM,
    "ytick.labelcolor": DIM,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
PROBES = {"joined": "depths joined", "pixels": "the bare image"}
MAP_SIZES, MAP_STEPS = (50, 50_000), 40  # images; cells a side

Draw = Callable[..., None]


def chart(draw: Draw) -> Callable[..., str]:
    """Turn a function that draws on axes into one that returns SVG."""

    @functools.wraps(draw)
    def drawn(*arguments: Any) -> str:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib.figure import Figure

        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
            draw(figure.subplots(), *arguments)
            out = io.StringIO()
            figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        return _for_the_page(out.getvalue())

    return drawn


def percent(share: float, _: float) -> str:
    """Say a share on an axis."""
    return f"{100 * share:.0f}%"


def _for_the_page(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"font(?:-family)?: ([\d.]+px )?'[^;\"]*", _font, svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg", '<svg aria-hidden="true"', 1)


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found[1].strip()}" if found[1] else "font-family: inherit"


@chart
def losses(axes: Axes, history: Sequence[Mapping[str, float]], best: int) -> None:
    """Draw log loss by epoch, on training and on validation images; epoch 0 is the solved head."""
    epochs = [row["epoch"] for row in history]
    trained = [row for row in history if row["epoch"]]
    steps, own = [row["epoch"] for row in trained], [row["loss"] for row in trained]
    axes.plot(steps, own, color=DIM, lw=1.2, label="training")
    values = [row["val_log_loss"] for row in history]
    _with_best(axes, epochs, values, best)
    axes.set(xlabel="epoch", ylabel="log loss", ylim=(0, None))
    axes.legend()


@chart
def accuracies(axes: Axes, history: Sequence[Mapping[str, float]], best: int) -> None:
    """Draw validation accuracy by epoch; epoch 0 is the solved head."""
    epochs = [row["epoch"] for row in history]
    values = [row["val_accuracy"] for row in history]
    _with_best(axes, epochs, values, best)
    if not epochs[0]:  # from scratch there is none
        axes.axhline(values[0], color=DIM, lw=1, ls=(0, (4, 3)), label="solved head")
    axes.set(xlabel="epoch", ylabel="accuracy")
    axes.yaxis.set_major_formatter(percent)
    axes.legend()


def _with_best(axes: Axes, epochs: Sequence[float], values: Sequence[float], best: int) -> None:
    axes.plot(epochs, values, color=ACCENT, lw=1.8, label="validation")
    at = epochs.index(best)
    axes.plot([best], [values[at]], "o", color=ACCENT, ms=6, label=f"best, epoch {best}")
    axes.locator_params(axis="x", integer=True)


@chart
def reliability(axes: Axes, bins: Sequence[Bin]) -> None:
    """Draw how often answers were right against how sure they were; a dot's area is its images."""
    most = max(b.n for b in bins)
    axes.plot([0, 1], [0, 1], color=DIM, lw=1, ls=(0, (4, 3)), label="perfectly calibrated")
    sure, right = [b.confidence for b in bins], [b.accuracy for b in bins]
    axes.vlines(sure, sure, right, color=ACCENT, lw=1.2)
    axes.scatter(sure, right, [12 + 130 * b.n / most for b in bins], color=ACCENT)
    axes.set(xlabel="how sure", ylabel="how often right", xlim=(0, 1.03), ylim=(0, 1.05))
    axes.xaxis.set_major_formatter(percent)
    axes.yaxis.set_major_formatter(percent)
    axes.legend(loc="upper left")


@chart
def coverage(axes: Axes, levels: Sequence[Answered]) -> None:
    """Draw accuracy against the share of images answered, as --min-confidence rises."""
    shown = [a for a in levels if a.accuracy is not None]
    x, y = [a.coverage for a in shown], [a.accuracy or 0.0 for a in shown]
    axes.plot(x, y, color=ACCENT, lw=1.8)
    axes.set(xlabel="share of images answered", ylabel="accuracy of the answers")
    axes.set(xlim=(0, 1.03))
    axes.margins(y=0.12)
    axes.xaxis.set_major_formatter(percent)
    axes.yaxis.set_major_formatter(percent)
    for level in (0.5, 0.9):
        near = min(shown, key=lambda a: abs(a.min_confidence - level))
        at = (near.coverage, near.accuracy or 0.0)
        axes.plot(*at, "o", color=ACCENT, ms=5)
        axes.annotate(f"{percent(near.min_confidence, 0)} sure", at, (-6, -4), ha="right", va="top",
                      textcoords="offset points", fontsize=9)  # fmt: skip


@chart
def probes(axes: Axes, evidence: Mapping[str, Any]) -> None:
    """Draw the accuracy of a head solved at each depth, with a standard error."""
    found = evidence["probes"]
    x, y = range(len(found)), [probe["accuracy"] for probe in found]
    errors = [probe["stderr"] for probe in found]
    axes.errorbar(x, y, errors, color=ACCENT, lw=1.8, marker="o", ms=5, capsize=3, elinewidth=1)
    for name, style in (("joined", (0, (5, 2))), ("pixels", (0, (1, 2)))):
        if evidence.get(name):
            value = evidence[name]["accuracy"]
            axes.axhline(value, color=DIM, lw=1.2, ls=style, label=PROBES[name])
    axes.set_xticks(list(x), [str(probe["tap"]) for probe in found], rotation=30, ha="right")
    axes.set(ylabel="held-out accuracy")
    axes.yaxis.set_major_formatter(percent)
    axes.legend()


@chart
def decision_map(axes: Axes, size: float, similarity: float) -> None:
    """Draw the rule, the share of layers it trains, and where this run stands in it."""
    low, high = MAP_SIZES
    sizes = [low * (high / low) ** (i / MAP_STEPS) for i in range(MAP_STEPS + 1)]
    likeness = [i / MAP_STEPS for i in range(MAP_STEPS + 1)]
    share = [[founding_rule(round(n), s) for n in sizes] for s in likeness]
    levels = [0, 0.001, 0.25, 0.5, 0.75, 1.0001]
    fills = axes.contourf(sizes, likeness, share, levels, colors=[ACCENT] * 5, antialiased=True)
    fills.set_alpha([0.02, 0.16, 0.32, 0.5, 0.7])
    axes.plot([min(max(size, low), high)], [similarity], "o", color=WARM, ms=9)
    axes.set(xscale="log", xlabel="training images (effective)", ylabel="similarity")
    axes.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
    axes.grid(False)


@chart
def overlaid(axes: Axes, histories: Mapping[int, Sequence[Mapping[str, float]]]) -> None:
    """Draw the validation log loss of several runs, by number, over the epochs."""
    colours, styles = (ACCENT, WARM, INK, DIM), ("-", (0, (5, 2)), (0, (2, 2)))
    for i, (number, history) in enumerate(histories.items()):
        epochs = [row["epoch"] for row in history]
        values = [row["val_log_loss"] for row in history]
        style: Any = styles[i // len(colours) % len(styles)]
        axes.plot(epochs, values, color=colours[i % 4], lw=1.6, ls=style, label=f"{number}")
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="epoch", ylabel="validation log loss", ylim=(0, None))
    axes.legend(title="run", ncols=2)
