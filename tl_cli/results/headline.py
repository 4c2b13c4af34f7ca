"""The figure that a training comes to: how many images it recognises that it has not seen. Pure.

On the test images where there are any; else, of a head on the network as it was, on its training
images, each predicted by a head fitted without it; else on the validation images.
"""

from __future__ import annotations

from dataclasses import dataclass

from tl_cli.results.evaluation import of_one_label
from tl_cli.results.intervals import wilson
from tl_cli.results.training import HeadResult, RunResult

TEST, FOLDS, VALIDATION = "test", "cross-validation", "validation"
HEAD = "head"  # what was kept where tuning did not help


@dataclass(frozen=True)
class Headline:
    """A share of images that were recognised, and what to hold it against."""

    share: float
    n: int
    low: float  # of the 95 % interval
    high: float
    guessing: float  # the share that always naming the most frequent class gets
    measured: str  # TEST, FOLDS or VALIDATION

    @property
    def better_than_guessing(self) -> bool:
        return self.share > self.guessing


def headline(result: RunResult, guessing: float) -> Headline:
    """Return the figure of a run. `guessing`: what naming one class gets of the training images."""
    if "test" in result.metrics:
        return _measured(result.metrics["test"], TEST)
    if result.head and (result.tune is None or result.tune.kept == HEAD):
        n, share = int(result.plan["size"]), _cross_validated(result.head)
        return Headline(share, n, *wilson(round(share * n), n), guessing, FOLDS)
    return _measured(result.metrics["val"], VALIDATION)


def _measured(figures: object, how: str) -> Headline:
    found = of_one_label(figures)
    low, high = found.intervals["accuracy"] or (0.0, 1.0)
    return Headline(found.accuracy, found.n, low, high, found.majority_baseline, how)


def _cross_validated(head: object) -> float:
    if not isinstance(head, HeadResult):
        raise TypeError(f"one label an image is meant, got {type(head).__name__}")
    return head.cv_accuracy
