"""What a training measured, to and from JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tl_cli.results.evaluation import Evaluation


@dataclass(frozen=True)
class HeadResult:
    """How the solved head did on the held-out folds of the training images."""

    kind: str  # last or multi
    strength: float
    temperature: float
    cv_accuracy: float
    cv_log_loss: float
    cv_stderr: float


@dataclass(frozen=True)
class FinetuneResult:
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
class FromScratchResult:
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
    head: HeadResult | None  # None from scratch
    tune: FinetuneResult | None
    image_size: int
    precision: str
    trained_parameters: int
    peak_memory: int  # bytes
    scratch: FromScratchResult | None = None
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
