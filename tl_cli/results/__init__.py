"""What a run measured, to and from JSON, and what it reports while it runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Progress:
    """How far a stage is: `done` of `total` units, and what is known by now."""

    stage: str
    done: int
    total: int
    unit: str = "images"
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    """Something worth one line to the user; `warning` where they may want to act on it."""

    text: str
    warning: bool = False


OnProgress = Callable[[Progress | Note], None]


def silent(_: Progress | Note) -> None:
    """Report nothing."""


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
    """A classifier's figures on one split. Intervals are 95 % bootstrap percentiles."""

    split: str
    n: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    log_loss: float
    top5: float | None  # None where there are no more than 5 classes
    majority_baseline: float  # accuracy of always naming the most frequent class of the split
    intervals: Mapping[str, tuple[float, float]]
    per_class: tuple[ClassRow, ...]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]  # rows: true class, columns: predicted

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return asdict(self) | {"intervals": {k: list(v) for k, v in self.intervals.items()}}


@dataclass(frozen=True)
class HeadFacts:
    """How the solved head did on the held-out folds of the training images."""

    kind: str  # last or multi
    strength: float
    temperature: float
    cv_accuracy: float
    cv_log_loss: float
    cv_stderr: float


@dataclass(frozen=True)
class TuneFacts:
    """What fine-tuning gained over the solved head on the validation images."""

    epochs: int
    best_epoch: int
    head_log_loss: float
    tuned_log_loss: float
    gain_stderr: float | None  # of the paired difference of the log losses; None for one image
    head_accuracy: float
    tuned_accuracy: float
    kept: str  # "tuned" or "head"
    reason: str
    tuned_test_accuracy: float | None = None  # of the tuned network, kept or not
    temperature: float = 1.0  # what the tuned network's scores were divided by, after its epochs


@dataclass(frozen=True)
class ScratchFacts:
    """How a training from scratch went, on the validation images."""

    epochs: int
    best_epoch: int
    log_loss: float  # of the best epoch, which is kept
    accuracy: float
    temperature: float = 1.0  # what its scores were divided by


@dataclass(frozen=True)
class RunResult:
    """All that `tl train` has to tell when it is done."""

    run: str
    plan: Mapping[str, Any]
    metrics: Mapping[str, Evaluation]  # by split
    seconds: Mapping[str, float]  # by stage
    head: HeadFacts | None  # None from scratch
    tune: TuneFacts | None
    image_size: int
    precision: str
    trained_parameters: int
    peak_memory: int  # bytes
    scratch: ScratchFacts | None = None
    notes: tuple[str, ...] = ()

    def metrics_json(self) -> dict[str, Any]:
        """Return what metrics.json holds."""
        return {
            "metrics": {split: each.to_json() for split, each in self.metrics.items()},
            "head": asdict(self.head) if self.head else None,
            "tune": asdict(self.tune) if self.tune else None,
            "scratch": asdict(self.scratch) if self.scratch else None,
            "seconds": dict(self.seconds),
            "trained_parameters": self.trained_parameters,
            "peak_memory": self.peak_memory,
        }

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "run": self.run,
            "plan": dict(self.plan),
            **self.metrics_json(),
            "image_size": self.image_size,
            "precision": self.precision,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Equality:
    """How equal an exported network's answers are to those of the network it was made from."""

    images: int
    difference: float  # the greatest one of a probability
    agreement: float  # share of images with the same most probable class
    allowed_difference: float | None
    least_agreement: float | None

    @property
    def passed(self) -> bool:
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not pass; none where it does."""
        found = []
        if self.allowed_difference is not None and not self.difference <= self.allowed_difference:
            found.append(
                f"a probability differs by {self.difference:.2g}, and {self.allowed_difference:g} "
                "is allowed"
            )
        if self.least_agreement is not None and not self.agreement >= self.least_agreement:
            found.append(
                f"the most probable class is the same for {self.agreement:.1%} of the images, and "
                f"{self.least_agreement:.0%} is asked for"
            )
        return tuple(found)


@dataclass(frozen=True)
class Export:
    """What `tl export` wrote, and how it was found to be equal."""

    format: str
    quantize: str | None
    path: str
    bytes: int
    runtime: str  # with its version
    image_size: int
    classes: tuple[str, ...]
    trained_in: str  # precision; exported and compared in float32
    equality: Equality
    encoded: Equality | None  # of a format that opens image files itself
    milliseconds: Mapping[int, float] | None  # an image, by batch size

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return asdict(self) | {
            "classes": list(self.classes),
            "passed": self.equality.passed,
            "reasons": list(self.equality.reasons),
        }


@dataclass(frozen=True)
class Rehearsal:
    """What `tl train --dry-run` has to tell: all that would happen, and about how long."""

    plan: Mapping[str, Any]
    image_size: int
    precision: str
    counts: Mapping[str, Mapping[str, int]]  # split -> class -> images
    steps_per_epoch: int
    steps: int
    learning_rates: Mapping[str, float]  # peak, by part of the network
    seconds: Mapping[str, float]  # estimated from a measured batch
    alternatives: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # other data's plan
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        told = asdict(self) | {"plan": dict(self.plan), "notes": list(self.notes)}
        del told["alternatives"]
        return told

    def advice_json(self) -> dict[str, Any]:
        """Return what `tl recommend-freeze` says: the plan, what else would be, the time."""
        kept = ("strategy", "freeze_ratio")
        others = {name: {k: plan[k] for k in kept} for name, plan in self.alternatives.items()}
        return {**self.plan, "alternatives": others, "seconds": dict(self.seconds)}
