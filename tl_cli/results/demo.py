"""What is said of one image on the page of `tl demo`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tl_cli.results.explanations import Neighbour

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class DemoAnswer:
    """The best guesses of an image and why; or why it could not be opened."""

    path: str
    guesses: tuple[tuple[str, float], ...] = ()  # classes with probabilities, the best first
    unsure: bool = False  # whether the best one is less probable than was asked for
    heat: np.ndarray[Any, Any] | None = field(default=None, repr=False, compare=False)
    neighbours: tuple[Neighbour, ...] = ()
    error: str = ""
