"""How the figures moved where a run's images changed: two classifiers on the same held-out images.

One row a kind of labels. Knows what both say; no run and no network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tl_cli.data import quantities
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION, Record, names_in
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.tasks import TASKS
from tl_cli.results.measures import labels_f1
from tl_cli.results.update import Pair, Recognised, compared, means_compared


class Answers(NamedTuple):
    """What a classifier says of images: probabilities [n, C], or numbers [n, 1]."""

    said: np.ndarray
    classes: Sequence[str]
    thresholds: Sequence[float]  # of several labels

    @classmethod
    def of(cls, said: np.ndarray, built: Classifier) -> Answers:
        return cls(said, built.classes, built.thresholds)


Moved = tuple[Pair | None, Pair | None, tuple[Recognised, ...]]  # of the same images, of more


def _recognised(
    records: Sequence[Record], said: Answers, then: Answers, fresh: Sequence[bool]
) -> Moved:
    """Return which images are recognised now and before, of those that are not fresh, and are.

    `said`, `then`: now and before.
    """
    now, was, before = _right(records, said), _right(records, then), then.classes
    known = [record.label in before for record in records]
    return (
        compared(now, was, [k and not f for k, f in zip(known, fresh, strict=True)]),
        compared(now, was, [k and f for k, f in zip(known, fresh, strict=True)]),
        tuple(_by_class(records, now, was, before)),
    )


def _off(records: Sequence[Record], said: Answers, then: Answers, fresh: Sequence[bool]) -> Moved:
    """Return by how much numbers [n, 1] are off now and before; see `_recognised`."""
    true = np.array([quantities.value(record) for record in records])
    now, was = (np.abs(answers.said[:, 0] - true) for answers in (said, then))
    return *_moved(now, was, np.array(fresh, bool), less_is_better=True), ()


def _labelled(
    records: Sequence[Record], said: Answers, then: Answers, fresh: Sequence[bool]
) -> Moved:
    """Return F1 of each image's labels now and before, of those that both know; and by label.

    Of fresh images those that have one of them. See `_recognised`.
    """
    true = [{*names_in(record.label, MULTILABEL)} for record in records]
    now, was = ([_names(answers, i) for i in range(len(true))] for answers in (said, then))
    both = {*said.classes} & {*then.classes}
    asked = [bool(own & both) or not new for own, new in zip(true, fresh, strict=True)]
    new = np.array(fresh, bool)[asked]
    figures, earlier = (
        np.array([labels_f1(a & both, b & both) for a, b in zip(true, side, strict=True)])[asked]
        for side in (now, was)
    )
    same, more = _moved(figures, earlier, new, less_is_better=False)
    return same, more, tuple(_by_label(true, now, was, said.classes, then.classes))


def _moved(
    now: np.ndarray, was: np.ndarray, fresh: np.ndarray, *, less_is_better: bool
) -> tuple[Pair | None, Pair | None]:
    """Compare a figure [n] now and before: of images that are not fresh, bool [n], and that are."""
    same, more = (
        means_compared(now[rows].tolist(), was[rows].tolist(), less_is_better=less_is_better)
        for rows in (~fresh, fresh)
    )
    return same, more


def _names(answers: Answers, i: int) -> set[str]:
    """Return the labels that are said of an image."""
    label, _ = TASKS[MULTILABEL].answer(answers.said[i], answers.classes, answers.thresholds)
    return {*names_in(label, MULTILABEL)}


def _by_label(
    true: Sequence[set[str]],
    now: Sequence[set[str]],
    was: Sequence[set[str]],
    classes: Sequence[str],
    known: Sequence[str],
) -> Iterator[Recognised]:
    """Yield of the images that have a label the share that it is said of."""
    for name in classes:
        rows = [i for i, own in enumerate(true) if name in own]
        if rows:
            after, before = (sum(name in side[i] for i in rows) / len(rows) for side in (now, was))
            yield Recognised(name, len(rows), before if name in known else None, after)


def _right(records: Sequence[Record], answers: Answers) -> list[bool]:
    """Return which images were recognised."""
    best = answers.said.argmax(axis=1).tolist()
    return [answers.classes[i] == record.label for i, record in zip(best, records, strict=True)]


def _by_class(
    records: Sequence[Record], now: Sequence[bool], was: Sequence[bool], known: Sequence[str]
) -> Iterator[Recognised]:
    """Yield the share that is recognised of each class that has images among the records."""
    answers: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for record, pair in zip(records, zip(now, was, strict=True), strict=True):
        answers[record.label].append(pair)
    for name, pairs in sorted(answers.items()):
        after, before = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
        yield Recognised(name, len(pairs), before if name in known else None, after)


MEASURED = {CLASSIFICATION: _recognised, MULTILABEL: _labelled, REGRESSION: _off}
