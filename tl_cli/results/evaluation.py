"""What an evaluation says: its figures, can they be believed, where does it fail? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tl_cli.humanize import count
from tl_cli.results.calibration import Answered, Bin
from tl_cli.results.paired import Paired


@dataclass(frozen=True)
class ClassRow:
    """One class's figures."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """A classifier's figures on one split.

    Intervals are of 95 %: see `intervals` for shares; bootstrap percentiles for the log loss, and
    for macro F1 where that has spread. None where all images cost the same.
    """

    split: str
    n: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    log_loss: float
    top5: float | None  # None where there are no more than 5 classes
    majority_baseline: float  # accuracy of always naming the most frequent class of the split
    intervals: Mapping[str, tuple[float, float] | None]
    per_class: tuple[ClassRow, ...]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]  # rows: true class, columns: predicted

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        ends = {name: found and list(found) for name, found in self.intervals.items()}
        figures = asdict(self) | {"intervals": ends}
        return figures | {"learnt": not nothing_learnt(figures)}


def of_one_label(figures: object) -> Evaluation:
    """Return figures as those of a task with one label an image."""
    if not isinstance(figures, Evaluation):
        raise TypeError(f"one label an image is meant, got {type(figures).__name__}")
    return figures


def nothing_learnt(figures: Mapping[str, Any]) -> str:
    """Say where figures (JSON of an Evaluation) show nothing learnt, and which; "" if they do.

    Something was, where accuracy is surely above that of always naming the most frequent class, or
    balanced accuracy above that of any answer that does not look at the image.
    """
    low, high = figures["intervals"]["accuracy"]
    base = figures["majority_baseline"]
    present = sum(row["support"] > 0 for row in figures["per_class"])
    balanced = figures["intervals"]["balanced_accuracy"]
    if low > base or present < 2 or (balanced and balanced[0] > 1 / present):
        return ""
    compared = (
        f"accuracy {figures['accuracy']:.3f} ({low:.3f} to {high:.3f}), against {base:.3f} of "
        "always naming the most frequent class"
    )
    if figures["accuracy"] > base:
        images = count(figures["n"], "image")
        return f"Whether anything was learnt cannot be told by {images}: {compared}."
    return (
        f"Nothing was learnt: {compared}. Do the labels say what the images show? See them with "
        "tl inspect DATA --plots."
    )


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error, as it is and with a temperature fitted on validation."""

    ece: float
    bins: tuple[Bin, ...]
    temperature: float | None = None  # None where the validation images are gone
    ece_scaled: float | None = None  # None where that is so, or these are the validation images


@dataclass(frozen=True)
class Area:
    """How well a class's probability tells it from the rest; None where there is no rest."""

    name: str
    roc: float | None
    precision_recall: float | None


@dataclass(frozen=True)
class Confused:
    """Images of one class taken for another."""

    true: str
    predicted: str
    n: int
    share: float  # of the true class


def confused(classes: Sequence[str], matrix: Sequence[Sequence[int]], most: int) -> list[Confused]:
    """Return the pairs of classes that were taken for each other, the most frequent first.

    `matrix`: rows are true classes, columns predicted ones.
    """
    pairs = [
        Confused(classes[i], classes[j], n, n / sum(row))
        for i, row in enumerate(matrix)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return sorted(pairs, key=lambda pair: -pair.n)[:most]


@dataclass(frozen=True)
class Loss:
    """One image and what it cost."""

    path: str
    label: str
    predicted: str
    probability: float  # of the predicted class
    loss: float  # nats


@dataclass(frozen=True)
class Slice:
    """The images that have one value in a column."""

    value: str
    n: int
    accuracy: float
    interval: tuple[float, float]  # 95 %, Wilson


@dataclass(frozen=True)
class MeanSlice:
    """The images that have one value in a column, where labels are several, or numbers."""

    value: str
    n: int
    mean: float  # of the figure of each image
    interval: tuple[float, float] | None  # 95 %, bootstrap; None where all images have the same


@dataclass(frozen=True)
class Sliced:
    """A figure of each image by the values of a column, the worst first."""

    by: str
    figure: str  # its key: image_f1, mae
    rows: tuple[MeanSlice, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        told = [
            {"value": row.value, "n": row.n, self.figure: row.mean,
             "interval": row.interval and list(row.interval)}
            for row in self.rows
        ]  # fmt: skip
        return {"sliced_by": self.by, "slices": told}


@dataclass(frozen=True)
class Threshold:
    """Above which probability a class is to be called so, for a wanted precision or recall."""

    positive: str
    goal: str  # precision or recall
    target: float
    threshold: float | None  # None where no threshold reaches the target
    precision: float | None  # measured on the images evaluated
    recall: float | None
    chosen_on: str  # the split that it was chosen on


@dataclass(frozen=True)
class Against:
    """Another checkpoint on the same images; differences are this one minus the other."""

    run: str
    accuracy: Paired
    log_loss_difference: float
    log_loss_interval: tuple[float, float] | None  # None where it is the same for all images


@dataclass(frozen=True)
class TrainedOn:
    """How many of the images were trained on, and the accuracy without them."""

    n: int
    near: int  # not trained on, but nearly the same as one that was
    others: int
    accuracy: float | None  # of the others; None where there are none
    interval: tuple[float, float] | None  # 95 %, Wilson


@dataclass(frozen=True)
class Diagnostics:
    """All of it; None where it was not asked for."""

    calibration: Calibration
    roc_area: float | None  # mean over the classes that are present
    precision_recall_area: float | None
    areas: tuple[Area, ...]
    coverage: tuple[Answered, ...]
    confused: tuple[Confused, ...]
    losses: tuple[Loss, ...]  # the costliest images, recognised or not
    mistakes: tuple[Loss, ...]  # the costliest of those that were taken for another class
    sliced_by: str | None = None
    slices: tuple[Slice, ...] | None = None
    thresholds: tuple[Threshold, ...] | None = None
    against: Against | None = None
    mirrored: bool = False
    trained_on: TrainedOn | None = None  # None where none was

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        told = asdict(self)
        if self.against:
            told["against"]["accuracy"] = self.against.accuracy.to_json()
        return told
