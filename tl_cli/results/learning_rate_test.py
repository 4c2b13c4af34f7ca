"""What a learning rate range test found: the loss by rate, and what it says of the rate. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

SMOOTHING = 0.9  # of the running mean of the losses, step by step
DIVERGED = 4.0  # times the least smoothed loss (as fastai has it)
SAFE = 3.0  # times below the rate of the least loss, where training is still stable
EDGE = 5  # steps at the beginning in which a running mean knows too little


@dataclass(frozen=True)
class LearningRateTest:
    """The training loss while the rate grew from step to step (Smith 2017, arXiv:1506.01186)."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]  # of each batch
    smoothed: tuple[float, ...]  # running mean, without the bias of its beginning
    used: float  # the rate that the training will reach
    diverged: bool  # whether the loss ran away before the last rate

    @property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is least."""
        return self.rates[min(range(len(self.rates)), key=lambda i: self.smoothed[i])]

    @property
    def steepest(self) -> float:
        """The rate, up to the lowest, at which the smoothed loss falls fastest."""
        last = self.rates.index(self.lowest)
        first = min(EDGE, last)
        falls = {i: self.smoothed[i + 1] - self.smoothed[i] for i in range(first, last)}
        return self.rates[min(falls, key=lambda i: falls[i])] if falls else self.lowest

    @property
    def told(self) -> str:
        """Say in one sentence whether the rate that will be used is a sound one."""
        said = f"The loss is least at a learning rate of {self.lowest:.1g}"
        if self.used > self.lowest:
            return (
                f"{said}; the {self.used:g} that will be used lies beyond it, so the loss may well "
                f"jump: --learning-rate {self.lowest / SAFE:.1g} would be safer."
            )
        return (
            f"{said}; the {self.used:g} that will be used lies below it, where training is sound."
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        told = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return told | {"lowest": self.lowest, "steepest": self.steepest}

    @classmethod
    def of(
        cls, rates: Sequence[float], losses: Sequence[float], used: float, *, diverged: bool
    ) -> LearningRateTest:
        """Return the test of some steps, smoothed."""
        return cls(tuple(rates), tuple(losses), tuple(smoothed(losses)), used, diverged)


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the running mean of losses, divided by the weight that it has by then."""
    mean, means = 0.0, []
    for step, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        means.append(mean / (1 - SMOOTHING**step))
    return means


def ran_away(losses: Sequence[float]) -> bool:
    """Return whether the loss is no number any more, or far above the least that it was."""
    if not math.isfinite(losses[-1]):
        return True
    means = smoothed(losses)
    return len(means) > EDGE and means[-1] > DIVERGED * min(means)
