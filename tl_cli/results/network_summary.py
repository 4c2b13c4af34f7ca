"""A network or one of its modules as a table of layers, in plain numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

INPUT = "input"  # in place of a row's name

# What `tl summarize` knows beside the backbones: the blocks that networks are made of.
MODULES = {
    "inception": (28, 28, 192),  # with the input shape that it is shown at
    "inception_naive": (28, 28, 192),
    "inception_chained": (28, 28, 192),
    "residual": (56, 56, 64),
    "auxiliary_head": (14, 14, 512),
}


@dataclass(frozen=True)
class LayerRow:
    """One layer, or one block of them; sizes are for one image."""

    name: str
    kind: str  # the layer's class, or "block"
    block: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    frozen: bool
    inputs: tuple[str, ...]  # the rows that it takes


@dataclass(frozen=True)
class Cost:
    """What a module costs."""

    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Reduction:
    """One Inception module without and with its 1x1 reductions, on the same input."""

    module: str
    input_shape: tuple[int, ...]
    naive: Cost
    reduced: Cost


@dataclass(frozen=True)
class Summary:
    """All rows of one network or module, and what they come to."""

    name: str
    input_shape: tuple[int, ...]
    rows: tuple[LayerRow, ...]
    reductions: tuple[Reduction, ...] = ()  # GoogLeNet's modules, after the one that was asked for

    def total(self, key: str, *, frozen: bool | None = None) -> int:
        """Return the sum of a column, over frozen or trained rows alone where asked."""
        chosen = (row for row in self.rows if frozen is None or row.frozen == frozen)
        return sum(getattr(row, key) for row in chosen)

    @property
    def totals(self) -> Mapping[str, int]:
        return {
            "parameters": self.total("parameters"),
            "frozen_parameters": self.total("parameters", frozen=True),
            "trained_parameters": self.total("parameters", frozen=False),
            "multiply_adds": self.total("multiply_adds"),
            "frozen_multiply_adds": self.total("multiply_adds", frozen=True),
        }

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            "rows": [asdict(row) for row in self.rows],
            "totals": dict(self.totals),
            "reductions": [asdict(each) for each in self.reductions],
        }


def by_block(rows: Sequence[LayerRow]) -> tuple[LayerRow, ...]:
    """Return one row a block for rows of layers in order."""
    blocks: dict[str, list[LayerRow]] = {}
    for row in rows:
        blocks.setdefault(row.block, []).append(row)
    names = list(blocks)
    return tuple(
        LayerRow(
            name=name,
            kind="block",
            block=name,
            output_shape=blocks[name][-1].output_shape,
            parameters=sum(row.parameters for row in blocks[name]),
            multiply_adds=sum(row.multiply_adds for row in blocks[name]),
            frozen=blocks[name][-1].frozen,
            inputs=(names[i - 1] if i else INPUT,),
        )
        for i, name in enumerate(names)
    )
