"""What differs between kinds of labels, one row each: targets, the solved head, figures, answers.

Everything else of a run is the same road. Knows arrays and manifests; no run and no command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tl_cli.data.manifest import CLASSIFICATION, JOINT, MULTILABEL, Record, names_in
from tl_cli.engine import tuning
from tl_cli.engine.head import multilabel as multilabel_head
from tl_cli.engine.head import solver
from tl_cli.engine.head.linear_head import LinearHead, on_depths
from tl_cli.engine.head.multilabel import MultilabelHead
from tl_cli.engine.metrics import figures, multilabel
from tl_cli.engine.tuning import Tuning
from tl_cli.results.evaluation import Evaluation
from tl_cli.results.multilabel import MultilabelEvaluation

Head = LinearHead | MultilabelHead
Figures = Evaluation | MultilabelEvaluation


@dataclass(frozen=True)
class Task:
    """One kind of labels.

    `targets`: records and classes -> class numbers int64 [n], or indicators float32 [n, C].
    `solve`: features of joined depths -> a head, see `on_depths`. `tuning`: what its tuning needs.
    `held_out`: a solved head and its targets -> `tuning.figure` on held-out folds, and the standard
    error. `thresholds`: held-out answers and targets -> from which on each class is said; none
    where one class is. `evaluate`: probabilities and targets -> all figures. `answer`: one
    image's probabilities [C], classes, thresholds -> the label that is said, and how sure that is.
    """

    targets: Callable[[Sequence[Record], Sequence[str]], np.ndarray]
    solve: Callable[..., Head]
    tuning: Tuning
    held_out: Callable[[Any, np.ndarray], tuple[float, float]]
    thresholds: Callable[[np.ndarray, np.ndarray], tuple[float, ...]]
    evaluate: Callable[..., Figures]
    answer: Callable[[np.ndarray, Sequence[str], Sequence[float]], tuple[str, float]]
    tells_unknown: bool  # whether images unlike all classes can be told


def _numbers(records: Sequence[Record], classes: Sequence[str]) -> np.ndarray:
    return figures.encode([record.label for record in records], classes)


def _indicators(records: Sequence[Record], classes: Sequence[str]) -> np.ndarray:
    return multilabel.encode([names_in(r.label, MULTILABEL) for r in records], classes)


def _evaluate(*given: Any, thresholds: Sequence[float], **options: Any) -> Figures:
    return figures.evaluate(*given, **options)  # the most probable class is said


def _most_probable(
    p: np.ndarray, classes: Sequence[str], thresholds: Sequence[float]
) -> tuple[str, float]:
    best = int(p.argmax())
    return classes[best], float(p[best])


def _above(p: np.ndarray, classes: Sequence[str], thresholds: Sequence[float]) -> tuple[str, float]:
    """Return all labels from their thresholds on; and the probability that all that is so.

    As if labels did not depend on each other.
    """
    said = p >= np.asarray(thresholds)
    names = [name for name, yes in zip(classes, said, strict=True) if yes]
    return JOINT.join(names), float(np.where(said, p, 1 - p).prod())


def _average_precision(head: MultilabelHead, indicators: np.ndarray) -> tuple[float, float]:
    error = multilabel.average_precision_error(head.held_out, indicators)
    return head.average_precision, error


TASKS = {
    CLASSIFICATION: Task(
        targets=_numbers,
        solve=solver.solve_depths,
        tuning=tuning.CLASSES,
        held_out=lambda head, labels: (head.cv_accuracy, head.cv_stderr),
        thresholds=lambda answers, labels: (),
        evaluate=_evaluate,
        answer=_most_probable,
        tells_unknown=True,
    ),
    MULTILABEL: Task(
        targets=_indicators,
        solve=partial(on_depths, multilabel_head.solve),
        tuning=tuning.LABELS,
        held_out=_average_precision,
        thresholds=multilabel_head.thresholds,
        evaluate=multilabel.evaluate,
        answer=_above,
        tells_unknown=False,
    ),
}
