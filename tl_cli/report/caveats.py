"""What a careful person adds to the headline figure: can it be believed, and of what images is it?

Knows what a run wrote down, and nothing of pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tl_cli.data.inspection import Inspection
from tl_cli.data.manifest import Record
from tl_cli.humanize import count, naming
from tl_cli.report.facts import RunFacts
from tl_cli.results.headline import FOLDS, VALIDATION

FEW = 100  # images; with fewer, each one is a point and more
APART = 0.05  # of accuracy and balanced accuracy, from which on both must be told
NAMES = {"val": "validation", "test": "test"}


def caveats(facts: RunFacts, inspected: Inspection) -> list[str]:
    """Return sentences, the gravest first; none where there is nothing to add."""
    return [
        *_no_better(facts),
        *_doubtful(facts, inspected),
        *_chosen_on(facts),
        *_few(facts),
        *_unequal(facts),
        *_unmeasured(facts),
    ]


def doubtful(facts: RunFacts, inspected: Inspection) -> set[str]:
    """Return the paths of measured images that were as good as trained on, or labelled twice.

    They look like an image of another split, or like one of the same split with another label.
    """
    groups = [*inspected.exact, *inspected.near]
    return {
        record.path
        for group in groups
        if _across(group, facts.split) or len({record.label for record in group}) > 1
        for record in group
        if record.split == facts.split
    }


def _across(group: Sequence[Record], split: str) -> bool:
    splits = {record.split for record in group}
    return split in splits and len(splits) > 1


def _doubtful(facts: RunFacts, inspected: Inspection) -> Iterator[str]:
    if facts.headline.measured == FOLDS:  # its folds keep copies together
        return
    paths = doubtful(facts, inspected)
    left = [answer.right for answer in facts.answers if answer.path not in paths]
    if not paths or not left:
        return
    named = f"{NAMES[facts.split]} image"
    which = "looks" if len(paths) == 1 else "look"
    yield (
        f"{len(paths):,} of the {count(facts.figures['n'], named)} {which} like an image of "
        "another split, or of another class: without "
        f"{'it' if len(paths) == 1 else 'them'}, {sum(left) / len(left):.1%} of "
        f"{len(left):,} are recognised."
    )


def _no_better(facts: RunFacts) -> Iterator[str]:
    headline = facts.headline
    if not headline.better_than_guessing:
        yield (
            "This is no better than always naming the largest class "
            f"({headline.guessing:.1%}): nothing of use was learned."
        )


def _chosen_on(facts: RunFacts) -> Iterator[str]:
    if facts.headline.measured == VALIDATION:
        yield (
            "There were no test images. The validation images also chose what was kept, so the "
            "figure is a little too good: --test 0.1 keeps some aside."
        )


def _few(facts: RunFacts) -> Iterator[str]:
    headline = facts.headline
    if headline.n < FEW:
        yield (
            f"It was measured on {count(headline.n, 'image')} only, each of them worth "
            f"{100 / headline.n:.1f} points: the truth may lie anywhere from {headline.low:.0%} to "
            f"{headline.high:.0%}."
        )


def _unequal(facts: RunFacts) -> Iterator[str]:
    figures = facts.figures
    apart = abs(figures["accuracy"] - figures["balanced_accuracy"]) >= APART
    if apart and facts.headline.measured != FOLDS:
        yield (
            "The classes differ in size: as the mean over the classes, "
            f"{figures['balanced_accuracy']:.1%} are recognised."
        )


def _unmeasured(facts: RunFacts) -> Iterator[str]:
    absent = [row["name"] for row in facts.figures["per_class"] if not row["support"]]
    if absent:
        yield (
            f"There was no {NAMES[facts.split]} image of {naming(absent)}: how well "
            f"{'it is' if len(absent) == 1 else 'they are'} recognised is not known."
        )
