"""What runs are compared by, one row a kind of labels: a figure of each image, and its words. Pure.

Knows what a run wrote of its images, and nothing of how they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION, names_in
from tl_cli.results.paired import Paired, PairedMeans, paired, paired_means
from tl_cli.results.predictions import Prediction
from tl_cli.results.regression import ValuePrediction, said

Pairing = Paired | PairedMeans
Say = Callable[[float], str]


@dataclass(frozen=True)
class Measure:
    """One kind of labels.

    `key`: the figure that decides, as `figures` have it; `name`: what it is called. `of_image`: a
    row of predictions.csv -> that figure of one image. `pair`: these of two runs, on the same
    images -> the comparison. `say`: the figure in a sentence; `write`: in a table. `best`, `alike`:
    what a sentence says of the run that is best, and of runs that tie, with the figure put in.
    `others`: further figures of the table: key, name, how it is written. `curve`: what an epoch is
    judged by on validation, in history.csv without `val_`, and its loss; `drawn`: what its axis is
    called.
    """

    key: str
    name: str
    less_is_better: bool
    of_image: Callable[[Any], float]
    pair: Callable[[Sequence[Any], Sequence[Any]], Pairing]
    test: str
    say: Say
    write: Say
    best: str
    alike: str
    others: tuple[tuple[str, str, Say], ...]
    curve: tuple[str, str]
    drawn: str

    def apart(self, value: float) -> str:
        """Return a difference as a table has it, with its sign."""
        return f"{'-' if value < 0 else '+'}{self.write(abs(value))}"

    def rank(self, value: float) -> float:
        """Return a figure so that less is better."""
        return value if self.less_is_better else -value


def share(value: float) -> str:
    """Return a figure from 0 to 1 as a table has it."""
    return f"{value:.3f}"


def right(prediction: Prediction) -> bool:
    """Return whether an image was recognised."""
    return prediction.right


def labels_f1(true: Collection[str], said_of: Collection[str]) -> float:
    """Return F1 of the labels that are said of one image; 1 where it has none and none is said."""
    both = len({*true} & {*said_of})
    return 2 * both / (len(true) + len(said_of)) if true or said_of else 1.0


def f1(prediction: Prediction) -> float:
    """Return `labels_f1` of an image."""
    return labels_f1(
        *(names_in(each, MULTILABEL) for each in (prediction.label, prediction.predicted))
    )


def error(prediction: ValuePrediction) -> float:
    """Return by how much a number is off."""
    return abs(prediction.error)


MEASURES = {
    CLASSIFICATION: Measure(
        key="accuracy",
        name="accuracy",
        less_is_better=False,
        of_image=right,
        pair=paired,
        test="McNemar's exact test",
        say="{:.1%}".format,
        write=share,
        best="recognises the most, {}",
        alike="recognise {}",
        others=(("balanced_accuracy", "balanced accuracy", share), ("log_loss", "log loss", share)),
        curve=("accuracy", "log_loss"),
        drawn="accuracy",
    ),
    MULTILABEL: Measure(
        key="image_f1",
        name="F1 of an image",
        less_is_better=False,
        of_image=f1,
        pair=partial(paired_means, less_is_better=False),
        test="a permutation test",
        say=share,
        write=share,
        best="labels images best, F1 of an image {}",
        alike="label images with an F1 of {}",
        others=(
            ("mean_average_precision", "mean average precision", share),
            ("macro_f1", "F1, mean of labels", share),
            ("subset_accuracy", "all labels right", share),
            ("log_loss", "log loss", share),
        ),
        curve=("average_precision", "log_loss"),
        drawn="mean average precision",
    ),
    REGRESSION: Measure(
        key="mae",
        name="mean absolute error",
        less_is_better=True,
        of_image=error,
        pair=partial(paired_means, less_is_better=True),
        test="a permutation test",
        say=said,
        write=said,
        best="comes nearest, off by {} on average",
        alike="are off by {} on average",
        others=(
            ("rmse", "root mean squared error", said),
            ("r2", "R2", share),
            ("spearman", "order (Spearman)", share),
        ),
        curve=("r2", "huber_loss"),
        drawn="R2",
    ),
}
