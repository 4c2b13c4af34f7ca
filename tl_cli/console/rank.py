"""What a ranking of networks looks like to a reader, on a Screen.

Knows nothing of how it was found.
"""

from __future__ import annotations

from dataclasses import dataclass

from tl_cli.console.screen import Screen, bare_table, safe, say
from tl_cli.humanize import count, duration, naming, typed
from tl_cli.plan.evidence import ACCURACY, AVERAGE_PRECISION, R2
from tl_cli.results.ranking import RankedNetwork, Ranking

BEST, NO_WORSE, ESTIMATED = "*", "=", "~"


@dataclass(frozen=True)
class Words:
    """How a figure is told: as a column, in the legend, and of the best network."""

    column: str
    legend: str
    best: str  # before the number of images
    loss: str = "log loss"


FIGURES = {
    ACCURACY: Words("right", "right: share of held-out images that were recognised", "{} of"),
    AVERAGE_PRECISION: Words(
        "mAP", "mAP: mean average precision on held-out images", "mean average precision {} on"
    ),
    R2: Words(
        "R2",
        "R2: share of the numbers' variance that is told of held-out images",
        "R2 {} on",
        "loss",
    ),
}


def show_ranking(screen: Screen, ranking: Ranking, source: str) -> None:
    """Show the networks, best first, what the marks mean, and what to type next."""
    words = FIGURES[ranking.best.figure]
    columns = ("95 %", words.loss, "ms", "train", "million", "alike", "images")
    table = bare_table("", words.column, *columns)
    for network in ranking.networks:
        table.add_row(_marked(ranking, network), *_cells(network))
    screen.out.print(table)
    screen.out.print()
    for line in _legend(ranking):
        screen.out.print(f"[dim]{line}[/]", highlight=False)
    for line in _verdict(ranking):
        screen.out.print(line, highlight=False)
    say(screen, f"Next: {safe(_next(ranking.best, source))}")


def _marked(ranking: Ranking, network: RankedNetwork) -> str:
    mark = BEST if network is ranking.best else NO_WORSE if network.no_worse else " "
    return f"{mark} {safe(network.title)}"


def _cells(network: RankedNetwork) -> list[str]:
    low, high = network.interval
    digits, unknown = 0 if network.milliseconds >= 9.5 else 1, "-"
    return [
        network.said,
        f"{low:.1%} to {high:.1%}" if network.figure == ACCURACY else f"{low:.3f} to {high:.3f}",
        f"{network.log_loss:.3f}",
        f"{network.milliseconds:.{digits}f}",
        unknown if network.train_seconds is None else duration(network.train_seconds),
        f"{network.parameters / 1e6:.1f}",
        unknown if network.similarity is None else f"{_about(network)}{network.similarity:.2f}",
        f"{network.images:,}",
    ]


def _about(network: RankedNetwork) -> str:
    return ESTIMATED if network.similarity_estimated else ""


def _legend(ranking: Ranking) -> list[str]:
    estimated = any(map(_about, ranking.networks))
    words = FIGURES[ranking.best.figure]
    return [
        f"{words.legend}, by a head alone; {words.loss}: less is",
        "better; ms: an image here; train: what tl train would take here; million: parameters;",
        "alike: similarity to the pretraining data, 0 to 1; images: what it was judged on",
        *([f"{ESTIMATED}: estimated with anchors of other networks"] if estimated else []),
        f"{BEST} best   {NO_WORSE} no worse, as far as these images can tell (paired test)",
    ]


def _verdict(ranking: Ranking) -> list[str]:
    best, quickest = ranking.best, ranking.quickest
    figure = FIGURES[best.figure].best.format(best.said)
    said = [f"[bold]Best here:[/] {safe(best.title)}, {figure} {best.images:,} images."]
    if quickest is not best:
        times = best.milliseconds / quickest.milliseconds
        said.append(
            f"{safe(quickest.title)} is no worse as far as these images can tell, "
            f"and {times:.1f} times as fast."
        )
    front = [n.title for n in ranking.networks if n.pareto and n is not best and n is not quickest]
    if front:
        said.append(f"Faster for less accuracy: {safe(naming(front))}.")
    if ranking.not_reached:
        said.append(
            f"[yellow]No time was left for {count(len(ranking.not_reached), 'network')}:[/] "
            f"{safe(naming(ranking.not_reached))}."
        )
    return said


def _next(best: RankedNetwork, source: str) -> str:
    words = ["tl", "train", "--data", source, "--backbone", best.name]
    return typed(*words, *(["--weights", best.weights] if best.weights else []))
