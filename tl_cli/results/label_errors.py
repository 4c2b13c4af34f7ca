"""A training image whose label looks wrong. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LabelError:
    """What it is labelled, and what a head that never saw it takes it for."""

    path: str
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return asdict(self)
