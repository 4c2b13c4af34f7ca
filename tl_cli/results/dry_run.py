"""What a dry run has to tell. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


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
