"""Networks ranked on the same images: their figures, and which are no worse than the best.

Pure: knows nothing of networks and of how the figures came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tl_cli.plan.evidence import ACCURACY
from tl_cli.results.paired import LEVEL

LOG_LOSS = "log_loss"


@dataclass(frozen=True)
class Candidate:
    """A network by name, with a weights file in place of its own where one is given."""

    name: str
    weights: str | None = None


@dataclass(frozen=True)
class RankedNetwork:
    """What one network came to, its head solved on the images and asked about held-out ones."""

    name: str
    weights: str | None  # a file, in place of the network's own
    image_size: int  # pixels
    images: int  # that it was judged on; fewer than the others' where it was left behind
    accuracy: float  # share of held-out images that were right, or what else `figure` says
    interval: tuple[float, float]  # of that, 95 %
    log_loss: float  # nats a held-out image, or what else `loss` says
    milliseconds: float  # an image, decoding and the forward pass
    parameters: int
    look_seconds: float  # the pass over all images that there are
    train_seconds: float | None = None  # the look and the tuning that the plan has; None: unknown
    plan: str = ""  # what would be trained: head, partial or full
    similarity: float | None = None
    similarity_estimated: bool = False  # with anchors of other networks
    finalist: bool = True  # judged on all images of the ranking
    p_value: float = 1.0  # against the best, paired, on the same held-out images
    pareto: bool = False  # no other finalist is both better and faster
    figure: str = ACCURACY  # a row of `evidence.FIGURES`
    loss: str = LOG_LOSS

    @property
    def said(self) -> str:
        """Its figure as it is read."""
        return f"{self.accuracy:.1%}" if self.figure == ACCURACY else f"{self.accuracy:.3f}"

    @property
    def title(self) -> str:
        """Its name, with the weights file where it has one."""
        return f"{self.name} ({Path(self.weights).name})" if self.weights else self.name

    @property
    def no_worse(self) -> bool:
        """Whether the best one is better by no more than chance could be."""
        return self.finalist and self.p_value >= LEVEL


@dataclass(frozen=True)
class Ranking:
    """The networks, best first; those that were left behind stand last."""

    networks: tuple[RankedNetwork, ...]
    images: int  # that the finalists were judged on
    available: int  # that there are to learn from
    not_reached: tuple[str, ...] = ()  # networks that --max-minutes left no time for

    @property
    def best(self) -> RankedNetwork:
        return self.networks[0]

    @property
    def quickest(self) -> RankedNetwork:
        """The fastest of those that are no worse than the best."""
        return min((n for n in self.networks if n.no_worse), key=lambda n: n.milliseconds)

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        rows = [_named(asdict(n)) | {"no_worse_than_best": n.no_worse} for n in self.networks]
        return {
            "best": self.best.name,
            "images": self.images,
            "available": self.available,
            "networks": [row | {"interval": list(row["interval"])} for row in rows],
            "not_reached": list(self.not_reached),
        }


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its figure and its loss under their names."""
    names = {ACCURACY: row.pop("figure"), LOG_LOSS: row.pop("loss")}
    return {names.get(key, key): value for key, value in row.items()}


def on_the_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return which (accuracy, milliseconds) no other one beats in one and equals in the other."""
    return [
        not any(
            other[0] >= point[0] and other[1] <= point[1] and other != point for other in points
        )
        for point in points
    ]
