"""What a training measured, to and from JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tl_cli.data.manifest import CLASSIFICATION
from tl_cli.results.evaluation import Evaluation
from tl_cli.results.learning_curve import LearningCurve
from tl_cli.results.multilabel import MultilabelEvaluation
from tl_cli.results.regression import RegressionEvaluation
from tl_cli.results.update import UpdateResult


@dataclass(frozen=True)
class HeadResult:
    """How the solved head did on the held-out folds of the training images."""

    kind: str  # last, multi or kernel
    strength: float
    temperature: float
    cv_accuracy: float
    cv_log_loss: float
    cv_stderr: float


@dataclass(frozen=True)
class MultilabelHeadResult:
    """How the solved head for several labels an image did on held-out folds."""

    kind: str  # last or multi
    strength: float
    cv_average_precision: float  # mean over classes
    cv_log_loss: float  # nats a class


@dataclass(frozen=True)
class RegressionHeadResult:
    """How the solved head for a number did on held-out folds, in the unit of the labels."""

    kind: str  # last, multi or kernel
    strength: float
    cv_mae: float
    cv_rmse: float
    cv_r2: float


@dataclass(frozen=True)
class CandidateResult:
    """What might be saved after a tuning, as it did on the images that judge it.

    What its loss and its figure are depends on the kind of labels.
    """

    name: str  # head, tuned, or solved again
    loss: float  # on validation, calibrated by halves
    figure: float  # on validation
    test_figure: float | None = None  # on the test images, which decide nothing
    loss_name: str = "log_loss"
    figure_name: str = "accuracy"

    @property
    def loss_words(self) -> str:
        return self.loss_name.replace("_", " ")

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "name": self.name,
            self.loss_name: self.loss,
            self.figure_name: self.figure,
            f"test_{self.figure_name}": self.test_figure,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> CandidateResult:
        """Return what `to_json` wrote. Raises KeyError or ValueError otherwise."""
        loss, figure = (k for k in told if k != "name" and not k.startswith("test_"))
        tested = told.get(f"test_{figure}")
        return cls(told["name"], told[loss], told[figure], tested, loss, figure)


@dataclass(frozen=True)
class FinetuneResult:
    """What fine-tuning gained over the solved head on the validation images."""

    epochs: int
    best_epoch: int
    kept: str  # the name of a candidate
    gain: float  # of the best candidate beside the head, in calibrated loss
    gain_stderr: float | None  # of the paired difference; None where too few images can judge
    candidates: tuple[CandidateResult, ...]  # the head first
    reason: str

    @property
    def head(self) -> CandidateResult:
        return self.candidates[0]

    @property
    def best(self) -> CandidateResult:
        """The candidate of the least loss, kept or not."""
        return min(self.candidates, key=lambda candidate: candidate.loss)

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return told | {"candidates": [candidate.to_json() for candidate in self.candidates]}


@dataclass(frozen=True)
class FromScratchResult:
    """How a training from scratch went, on the validation images."""

    epochs: int
    best_epoch: int
    loss: float  # of the best epoch, which is kept
    figure: float
    loss_name: str = "log_loss"
    figure_name: str = "accuracy"

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            self.loss_name: self.loss,
            self.figure_name: self.figure,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> FromScratchResult:
        """Return what `to_json` wrote. Raises KeyError or ValueError otherwise."""
        loss, figure = (k for k in told if k not in ("epochs", "best_epoch"))
        return cls(told["epochs"], told["best_epoch"], told[loss], told[figure], loss, figure)


@dataclass(frozen=True)
class RunResult:
    """All that `tl train` has to tell when it is done."""

    run: str
    plan: Mapping[str, Any]
    metrics: Mapping[str, Evaluation | MultilabelEvaluation | RegressionEvaluation]  # by split
    seconds: Mapping[str, float]  # by stage
    head: HeadResult | MultilabelHeadResult | RegressionHeadResult | None  # None from scratch
    tune: FinetuneResult | None
    image_size: int
    precision: str
    trained_parameters: int
    peak_memory: int  # bytes
    parameters: int  # of the saved network
    model_bytes: int  # of its weights on disk
    milliseconds: float | None = None  # that one image takes here; None where not measured
    solved: CandidateResult | None = None  # the head before any tuning; None from scratch
    learning_curve: LearningCurve | None = None  # None where not measured, or too few images
    scratch: FromScratchResult | None = None
    refit: bool = False  # whether the saved head was fitted to the validation images too
    notes: tuple[str, ...] = ()
    task: str = CLASSIFICATION
    update: UpdateResult | None = None  # where the images of another run were changed

    def metrics_json(self) -> dict[str, Any]:
        """Return what metrics.json holds."""
        return {
            "task": self.task,
            "metrics": {split: each.to_json() for split, each in self.metrics.items()},
            "head": asdict(self.head) if self.head else None,
            "tune": self.tune.to_json() if self.tune else None,
            "scratch": self.scratch.to_json() if self.scratch else None,
            "refit": self.refit,
            "seconds": dict(self.seconds),
            "trained_parameters": self.trained_parameters,
            "peak_memory": self.peak_memory,
            "parameters": self.parameters,
            "model_bytes": self.model_bytes,
            "milliseconds": self.milliseconds,
            "solved": self.solved.to_json() if self.solved else None,
            "learning_curve": self.learning_curve.to_json() if self.learning_curve else None,
            "image_size": self.image_size,
            "precision": self.precision,
            "notes": list(self.notes),
            "update": self.update.to_json() if self.update else None,
        }

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {"run": self.run, "plan": dict(self.plan), **self.metrics_json()}
