"""What is said of one image on the page of `tl demo`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tl_cli.results.explanations import Neighbour
from tl_cli.results.regression import ConformalInterval, said

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class DemoAnswer:
    """The best guesses of an image, or its number, and why; or why it could not be opened."""

    path: str
    guesses: tuple[tuple[str, float], ...] = ()  # classes with probabilities, the best first
    unsure: bool = False  # whether the best one is less probable than was asked for
    heat: np.ndarray[Any, Any] | None = field(default=None, repr=False, compare=False)
    neighbours: tuple[Neighbour, ...] = ()
    error: str = ""
    labels: tuple[str, ...] | None = None  # all that are said, where an image may have several
    value: float | None = None  # where a number is predicted
    interval: ConformalInterval | None = None  # how far that may be off, where it is known

    @property
    def said(self) -> str:
        """The number, as people say it."""
        radius = self.interval.radius if self.interval else None
        return "" if self.value is None else said(self.value, radius)

    @property
    def within(self) -> str:
        """Between which two numbers the right one lies, for which share of images."""
        if self.value is None or not self.interval:
            return ""
        radius, share = self.interval.radius, self.interval.coverage
        low, high = (said(self.value + off, radius) for off in (-radius, radius))
        return f"{low} to {high}, for {share:.0%} of images like those it learned from"
