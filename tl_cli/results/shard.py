"""What one share of a pass came to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ShardResult:
    """One share: its images, how many of them passed the network now, what is still to be done."""

    shard: str  # "2/4"
    images: int
    passed: int  # the others had their rows already
    missing: Sequence[int]  # shares of the same count that are not done yet
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "shard": self.shard,
            "images": self.images,
            "passed": self.passed,
            "missing": list(self.missing),
            "seconds": self.seconds,
        }
