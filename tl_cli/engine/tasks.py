"""What differs between kinds of labels, one row each: targets, the solved head, figures, answers.

Everything else of a run is the same road. Knows arrays and manifests; no run and no command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np

from tl_cli.data import quantities
from tl_cli.data.manifest import (
    CLASSIFICATION,
    JOINT,
    MULTILABEL,
    REGRESSION,
    Record,
    names_in,
)
from tl_cli.engine import tuning
from tl_cli.engine.head import kernel, regression, solver
from tl_cli.engine.head import multilabel as multilabel_head
from tl_cli.engine.head.linear_head import LinearHead, on_depths
from tl_cli.engine.head.multilabel import MultilabelHead
from tl_cli.engine.head.regression import RegressionHead, Scale
from tl_cli.engine.metrics import figures, multilabel
from tl_cli.engine.metrics import regression as regression_figures
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.tuning import Tuning
from tl_cli.results.evaluation import Evaluation
from tl_cli.results.intervals import Interval, wilson
from tl_cli.results.multilabel import MultilabelEvaluation
from tl_cli.results.paired import paired
from tl_cli.results.regression import RegressionEvaluation

Head = LinearHead | MultilabelHead | RegressionHead
Figures = Evaluation | MultilabelEvaluation | RegressionEvaluation


@dataclass(frozen=True)
class Task:
    """One kind of labels.

    `targets`: records and classes -> class numbers int64 [n], indicators float32 [n, C], or values
    float64 [n, 1]. `solve`: features of joined depths -> a head, see `on_depths`; `bend`: one
    behind a kernel, see `kernel.solve_kernel`, None where there is none. `tuning`: what its tuning
    needs. `held_out`: a solved head and its targets -> `tuning.figure` on held-out folds, and the
    standard error. `interval`: held-out answers and targets -> that figure's 95 %. `p_value`: the
    answers of two heads and targets -> how likely chance alone parts their figures as much.
    `thresholds`: held-out answers and targets -> from which on each class is said; none where one
    class is. `evaluate`: probabilities and targets -> all figures; its `thresholds` and `interval`
    are the classifier's. `answer`: one image's probabilities [C], classes, thresholds -> the label
    that is said, and how sure that is.
    """

    targets: Callable[[Sequence[Record], Sequence[str]], np.ndarray]
    solve: Callable[..., Head]
    bend: Callable[..., Head] | None
    tuning: Tuning
    held_out: Callable[[Any, np.ndarray], tuple[float, float]]
    interval: Callable[[np.ndarray, np.ndarray], Interval]
    p_value: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    thresholds: Callable[[np.ndarray, np.ndarray], tuple[float, ...]]
    evaluate: Callable[..., Figures]
    answer: Callable[[np.ndarray, Sequence[str], Sequence[float]], tuple[str, float]]
    # answers, targets, thresholds -> the figure of each image that runs are compared by, float [n]
    of_image: Callable[[np.ndarray, np.ndarray, Sequence[float]], np.ndarray]
    # targets -> int64 [n], the groups of images alike that the unknown are far from
    kinds: Callable[[np.ndarray], np.ndarray]


def _numbers(records: Sequence[Record], classes: Sequence[str]) -> np.ndarray:
    return figures.encode([record.label for record in records], classes)


def _indicators(records: Sequence[Record], classes: Sequence[str]) -> np.ndarray:
    return multilabel.encode([names_in(r.label, MULTILABEL) for r in records], classes)


def _values(records: Sequence[Record], classes: Sequence[str]) -> np.ndarray:
    values = [quantities.value(record) for record in records]
    return np.array(values, np.float64).reshape(len(records), 1)


def _wilson(answers: np.ndarray, labels: np.ndarray) -> Interval:
    return wilson(int((answers.argmax(1) == labels).sum()), len(labels))


def _mcnemar(answers: np.ndarray, others: np.ndarray, labels: np.ndarray) -> float:
    right = [list(p.argmax(1) == labels) for p in (answers, others)]
    return paired(*right).p_value


def _evaluate(
    *given: Any, thresholds: Sequence[float], interval: object, **options: Any
) -> Figures:
    return figures.evaluate(*given, **options)  # the most probable class is said


def _evaluate_labels(*given: Any, interval: object, **options: Any) -> Figures:
    return multilabel.evaluate(*given, **options)


def _evaluate_values(*given: Any, thresholds: Sequence[float], **options: Any) -> Figures:
    return regression_figures.evaluate(*given, **options)


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


def _value(p: np.ndarray, classes: Sequence[str], thresholds: Sequence[float]) -> tuple[str, float]:
    """Return the value itself; how sure it is, its interval says."""
    return repr(float(p[0])), 1.0


def _right(p: np.ndarray, labels: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    return (p.argmax(1) == labels).astype(np.float64)


def _f1(p: np.ndarray, indicators: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Return F1 of the labels that are said of each image; 1 where it has and is said none."""
    said, true = p >= np.asarray(thresholds), indicators > 0.5
    either = said.sum(1) + true.sum(1)
    both: np.ndarray = np.where(either, 2 * (said & true).sum(1) / np.maximum(either, 1), 1.0)
    return both


def _error(said: np.ndarray, values: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    return np.abs(said - values)[:, 0].astype(np.float64)


def _one_kind(targets: np.ndarray) -> np.ndarray:
    return np.zeros(len(targets), "int64")


def _average_precision(head: MultilabelHead, indicators: np.ndarray) -> tuple[float, float]:
    error = multilabel.average_precision_error(head.held_out, indicators)
    return head.average_precision, error


def _share(head: RegressionHead, values: np.ndarray) -> tuple[float, float]:
    """Return the share of the variance, 0 or more, and its standard error by the squared errors."""
    squares = (head.held_out - values)[:, 0] ** 2 / (values.var() or 1.0)
    return max(0.0, head.cv_r2), float(squares.std() / np.sqrt(len(squares)))


TASKS = {
    CLASSIFICATION: Task(
        targets=_numbers,
        solve=solver.solve_depths,
        bend=kernel.solve_kernel,
        tuning=tuning.CLASSES,
        held_out=lambda head, labels: (head.cv_accuracy, head.cv_stderr),
        interval=_wilson,
        p_value=_mcnemar,
        thresholds=lambda answers, labels: (),
        evaluate=_evaluate,
        answer=_most_probable,
        of_image=_right,
        kinds=lambda labels: labels,
    ),
    MULTILABEL: Task(
        targets=_indicators,
        solve=partial(on_depths, multilabel_head.solve),
        bend=None,
        tuning=tuning.LABELS,
        held_out=_average_precision,
        interval=multilabel.average_precision_interval,
        p_value=multilabel.average_precision_p_value,
        thresholds=multilabel_head.thresholds,
        evaluate=_evaluate_labels,
        answer=_above,
        of_image=_f1,
        kinds=_one_kind,  # known labels in a new combination are not unknown
    ),
    REGRESSION: Task(
        targets=_values,
        solve=partial(on_depths, regression.solve),
        bend=partial(kernel.solve_kernel, solve=regression.solve, loss=attrgetter("cv_rmse")),
        tuning=tuning.values(Scale(0.0, 1.0)),
        held_out=_share,
        interval=regression_figures.r2_interval,
        p_value=regression_figures.r2_p_value,
        thresholds=lambda answers, values: (),
        evaluate=_evaluate_values,
        answer=_value,
        of_image=_error,
        kinds=_one_kind,
    ),
}


def tuning_of(built: Classifier) -> Tuning:
    """Return how a run's own scores become answers: numbers by the scale that it was trained on."""
    return (
        tuning.values(Scale(*built.scale)) if built.task == REGRESSION else TASKS[built.task].tuning
    )


def for_run(name: str, training: np.ndarray) -> Task:
    """Return a row of TASKS for a run with these training targets.

    Numbers are learned less their mean and divided by their deviation, by these in all of a run.
    """
    task = TASKS[name]
    if name != REGRESSION:
        return task
    scale = Scale.of(training)
    solve = partial(regression.solve, scale=scale)
    return replace(
        task,
        solve=partial(on_depths, solve),
        bend=partial(kernel.solve_kernel, solve=solve, loss=attrgetter("cv_rmse")),
        tuning=tuning.values(scale),
    )
