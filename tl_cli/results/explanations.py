"""Why a network says of an image what it says: where the evidence lies, what it resembles. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Neighbour:
    """A training image that looks alike to the network."""

    path: str
    label: str
    similarity: float  # cosine of the features, -1 to 1


@dataclass(frozen=True)
class Explanation:
    """One image: the class or number that is explained, and why; or why it could not be opened."""

    path: str
    label: str = ""  # the class that is explained, or the quantity
    probability: float = 0.0  # of that class
    heat: np.ndarray[Any, Any] | None = field(default=None, repr=False, compare=False)
    neighbours: tuple[Neighbour, ...] = ()
    error: str = ""
    value: float | None = None  # where a number is predicted

    def to_json(self, overlay: str | None) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        one_class = {
            "label": self.label or None,
            "probability": round(self.probability, 6) if self.label else None,
        }
        return {
            "path": self.path,
            **(one_class if self.value is None else {"value": self.value}),
            "overlay": overlay,
            "neighbours": [asdict(each) for each in self.neighbours],
            "error": self.error or None,
        }
