"""What an evaluation says of a classifier that gives an image several labels. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tl_cli.data.manifest import MULTILABEL
from tl_cli.results.intervals import Interval


@dataclass(frozen=True)
class LabelRow:
    """One label's figures."""

    name: str
    average_precision: float | None  # None where no image has it, or all have
    interval: Interval | None  # 95 %, of the average precision
    precision: float  # of the images that it was said of
    recall: float
    f1: float
    threshold: float  # the probability from which on it is said
    support: int  # images that have it


@dataclass(frozen=True)
class MultilabelEvaluation:
    """A classifier's figures on one split, where an image may have several labels.

    Intervals are of 95 %: Wilson's of the subset accuracy, else percentiles of resampled images.
    """

    split: str
    n: int
    mean_average_precision: float  # over the labels that can be measured
    macro_f1: float
    micro_f1: float
    subset_accuracy: float  # share of images of which all labels are right
    log_loss: float  # nats, mean over images and labels
    chance_average_precision: float  # of probabilities that do not look at the image
    learnt: bool  # whether the order of its probabilities is better than chance
    intervals: Mapping[str, Interval | None]
    per_class: tuple[LabelRow, ...]
    classes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        told = asdict(self)
        told["intervals"] = {name: ends and list(ends) for name, ends in self.intervals.items()}
        for row in told["per_class"]:
            row["interval"] = row["interval"] and list(row["interval"])
        return {"task": MULTILABEL, **told}


def multilabel_figures(metrics: Mapping[str, Any]) -> MultilabelEvaluation:
    """Return the figures that a training comes to: of the test images, else of validation."""
    found: MultilabelEvaluation = metrics["test" if "test" in metrics else "val"]
    return found
