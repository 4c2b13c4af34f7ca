"""What a dry run has to tell. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tl_cli.results.learning_rate_test import LearningRateTest


@dataclass(frozen=True)
class DryRun:
    """What `tl train --dry-run` has to tell: all that would happen, and about how long."""

    plan: Mapping[str, Any]
    image_size: int
    precision: str
    counts: Mapping[str, Mapping[str, int]]  # split -> class -> images
    steps_per_epoch: int
    steps: int
    learning_rates: Mapping[str, float]  # peak, by part of the network
    seconds: Mapping[str, float]  # estimated from a measured batch
    learning_rate_test: LearningRateTest | None = None  # None where it was not asked for
    alternatives: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # other data's plan
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        told = asdict(self) | {"plan": dict(self.plan), "notes": list(self.notes)}
        if self.learning_rate_test:
            told["learning_rate_test"] = self.learning_rate_test.to_json()
        del told["alternatives"]
        return told

    def advice_json(self) -> dict[str, Any]:
        """Return what `tl recommend-freeze` says: the plan, what else would be, the time."""
        kept = ("strategy", "freeze_ratio")
        others = {name: {k: plan[k] for k in kept} for name, plan in self.alternatives.items()}
        return {**self.plan, "alternatives": others, "seconds": dict(self.seconds)}
