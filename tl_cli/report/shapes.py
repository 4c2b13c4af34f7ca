"""What the JSON of a run must look like for a page to be made of it: types, ranges, nothing more.

A run may come from somebody else, or from an older tl: whatever a page reads is checked here once,
and what older runs lacked may be lacking. Knows no files and no pages.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, InstanceOf, TypeAdapter, ValidationError
from typing_extensions import TypedDict


def _short(text: str) -> str:
    if len(text) > MOST_TEXT:
        raise ValueError(f"a text of {len(text):,} characters")
    return text


def _path(text: str) -> str:
    if "\0" in text:
        raise ValueError("a path with a zero byte")
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("an empty text")
    return text


MOST_TEXT = 10_000  # characters
# Whole numbers that a float holds exactly; texts that a page can show
Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]
Text = Annotated[InstanceOf[str], AfterValidator(_short)]  # names on disk are any bytes
Interval = Annotated[list[Number], Field(min_length=2, max_length=2)]
Thirds = Annotated[list[Number], Field(min_length=3, max_length=3)]


class _Loose(TypedDict):
    """Whatever else stands there is let be."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]


class _Class(_Loose):
    name: Text
    precision: Share
    recall: Share
    f1: Share
    support: Count


class _Intervals(_Loose):
    accuracy: Interval
    balanced_accuracy: Interval | None
    macro_f1: Interval | None
    log_loss: Interval | None


class _Figures(_Loose):
    n: Annotated[Count, Field(ge=1)]
    accuracy: Share
    balanced_accuracy: Share
    macro_f1: Share
    log_loss: Number
    top5: Share | None
    majority_baseline: Share
    intervals: _Intervals
    per_class: list[_Class]
    classes: list[Text]
    confusion: list[list[Count]]


def _square(figures: _Figures) -> _Figures:
    size, matrix = len(figures["classes"]), figures["confusion"]
    if len(matrix) != size or any(len(row) != size for row in matrix):
        raise ValueError("the confusion matrix has other classes")
    return figures


Figures = Annotated[_Figures, AfterValidator(_square)]


class _Head(_Loose):
    kind: Text
    cv_accuracy: Share
    cv_stderr: Number


class _Candidate(_Loose):
    name: Text
    log_loss: Number
    accuracy: Share
    test_accuracy: NotRequired[Share | None]


class _Tune(_Loose):
    epochs: Count
    best_epoch: NotRequired[Count]
    kept: NotRequired[Text]
    reason: Annotated[Text, AfterValidator(_not_empty)]
    candidates: NotRequired[list[_Candidate]]


class _Scratch(_Loose):
    best_epoch: NotRequired[Count]


class _Point(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]
    images: Annotated[Number, Field(ge=0)]
    accuracy: Share
    repeats: Count


class _Curve(_Loose):
    points: Annotated[list[_Point], Field(min_length=2)]
    held_out: Annotated[Count, Field(ge=1)]
    stderr: Number


def _with_total(seconds: dict[Text, Seconds]) -> dict[Text, Seconds]:
    if not seconds.get("total"):
        raise ValueError("there is no total")
    return seconds


class _Cost(_Loose):
    """What metrics.json says of every run: what it took, and what it left."""

    seconds: Annotated[dict[Text, Seconds], AfterValidator(_with_total)]
    refit: NotRequired[bool]
    parameters: NotRequired[Count | None]
    model_bytes: NotRequired[Count | None]
    milliseconds: NotRequired[Seconds | None]


class Told(_Cost):
    """metrics.json."""

    metrics: dict[Literal["val", "test"], Figures]
    head: _Head | None
    tune: NotRequired[_Tune | None]
    scratch: NotRequired[_Scratch | None]
    trained_parameters: NotRequired[Count | None]
    peak_memory: NotRequired[Count | None]
    solved: NotRequired[_Candidate | None]
    learning_curve: NotRequired[_Curve | None]


class _Label(_Loose):
    name: Text
    average_precision: Share | None
    interval: Interval | None
    precision: Share
    recall: Share
    f1: Share
    threshold: Share
    support: Count


class _LabelIntervals(_Loose):
    mean_average_precision: Interval | None
    macro_f1: Interval | None
    micro_f1: Interval | None
    subset_accuracy: Interval
    log_loss: Interval | None


class _LabelFigures(_Loose):
    n: Annotated[Count, Field(ge=1)]
    mean_average_precision: Share
    macro_f1: Share
    micro_f1: Share
    subset_accuracy: Share
    log_loss: Number
    chance_average_precision: Share
    learnt: bool
    intervals: _LabelIntervals
    per_class: list[_Label]
    classes: list[Text]


class _LabelHead(_Loose):
    kind: Text
    cv_average_precision: Share


class _LabelCandidate(_Loose):
    name: Text
    log_loss: Number
    average_precision: Share
    test_average_precision: NotRequired[Share | None]


class _LabelTune(_Loose):
    epochs: Count
    best_epoch: Count
    kept: Text
    reason: Annotated[Text, AfterValidator(_not_empty)]
    candidates: list[_LabelCandidate]


class ToldLabels(_Cost):
    """metrics.json where an image may have several labels."""

    task: Literal["multilabel"]
    metrics: dict[Literal["val", "test"], _LabelFigures]
    head: _LabelHead | None
    tune: NotRequired[_LabelTune | None]
    scratch: NotRequired[_Scratch | None]
    solved: NotRequired[_LabelCandidate | None]


class _ValueIntervals(_Loose):
    mae: Interval | None
    rmse: Interval | None
    r2: Interval | None
    spearman: Interval | None


class _Promise(_Loose):
    coverage: Share
    radius: Annotated[Number, Field(ge=0)]
    held_out: Count


class _ValueFigures(_Loose):
    n: Annotated[Count, Field(ge=1)]
    quantity: Text
    mae: Number
    rmse: Number
    r2: Number | None
    spearman: Number | None
    guessing_mae: Number
    guessing_rmse: Number
    learnt: bool
    intervals: _ValueIntervals
    interval: _Promise | None
    covered: Share | None
    range: Interval


class _ValueHead(_Loose):
    kind: Text
    cv_mae: Number
    cv_rmse: Number
    cv_r2: Number


class _ValueCandidate(_Loose):
    name: Text
    huber_loss: Number
    r2: Number
    test_r2: NotRequired[Number | None]


class _ValueTune(_Loose):
    epochs: Count
    best_epoch: Count
    kept: Text
    reason: Annotated[Text, AfterValidator(_not_empty)]
    candidates: list[_ValueCandidate]


class ToldValues(_Cost):
    """metrics.json where a number is predicted."""

    task: Literal["regression"]
    metrics: dict[Literal["val", "test"], _ValueFigures]
    head: _ValueHead | None
    tune: NotRequired[_ValueTune | None]


class _Probe(_Loose):
    tap: Text
    accuracy: Share
    stderr: Annotated[Number, Field(ge=0)]


class _Evidence(_Loose):
    distance: NotRequired[Number | None]
    thirds: NotRequired[Thirds | None]
    similarity: NotRequired[Number | None]
    probes: NotRequired[list[_Probe]]
    joined: NotRequired[_Probe | None]
    pixels: NotRequired[_Probe | None]
    estimated: NotRequired[bool]
    figure: NotRequired[Literal["accuracy", "average_precision"]]


class Plan(_Loose):
    """plan.json."""

    strategy: Literal["head", "partial", "full", "scratch"]
    freeze_ratio: Share
    policy: Text
    similarity: Share
    similarity_source: Text
    size: Count
    effective_size: Count
    backbone: Text
    blocks: Count
    frozen_blocks: Count
    frozen_layers: Count
    trained_layers: Count
    frozen_parameters_share: Share
    frozen_compute_share: Share
    reasons: list[Text]
    evidence: NotRequired[_Evidence | None]


def _with_ours(versions: dict[Text, Text]) -> dict[Text, Text]:
    if "tl-cli" not in versions:
        raise ValueError("tl's own is not among them")
    return versions


class Environment(_Loose):
    """environment.json."""

    python: Text
    platform: Text
    devices: list[Text]
    cpu_count: Count | None
    versions: Annotated[dict[Text, Text], AfterValidator(_with_ours)]
    command: NotRequired[list[Text]]
    git_commit: NotRequired[Text | None]
    date: NotRequired[Text]
    folder: NotRequired[Annotated[Text, AfterValidator(_path)]]


def check(shape: Any, value: Any) -> None:
    """Raise ValueError, saying where, unless a JSON value has a shape of this module."""
    try:
        _adapter(shape).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part)[:40] for part in first["loc"]) or "the file"
        raise ValueError(f"{where}: {first['msg'][:100]}") from error


@functools.cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)
