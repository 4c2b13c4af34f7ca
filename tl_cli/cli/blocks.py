"""`tl blocks`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Json
from tl_cli.cli.session import blocks_of, opened_screen

if TYPE_CHECKING:
    from tl_cli.plan.blocks import Block


QUARTERS = (0.25, 0.5, 0.75)


def blocks(
    backbone: Annotated[str, typer.Argument(help="A name from `tl backbones`.")],
    image_size: Annotated[
        int | None, typer.Option(min=32, max=1024, help="Pixels; the backbone's own if not given.")
    ] = None,
    json: Json = False,
) -> None:
    """Show a backbone's blocks between its cut points, and where a quarter or half of it ends."""
    with opened_screen(json=json) as screen:
        from tl_cli import catalog

        found = blocks_of(catalog.get(backbone), image_size)
        marks = _marks(found)
        if json:
            rows = [asdict(block) | {"freeze_ratios": marks.get(i, [])}
                    for i, block in enumerate(found, 1)]  # fmt: skip
            print(jsonlib.dumps({"backbone": backbone, "blocks": rows}))
            return
        whole = sum(block.multiply_adds for block in found)
        cells = [(f"{i:>2} {b.name}", _cells(b, whole, marks.get(i, [])))
                 for i, b in enumerate(found, 1)]  # fmt: skip
        columns = ["layers", "parameters", "computation", "output", "cache an image", "--freeze"]
        screen.matrix(cells, columns)
        screen.out.print("A freeze ratio freezes all blocks down to the one that it stands at.")


def _marks(found: Sequence[Block]) -> dict[int, list[float]]:
    """Return which of the quarters ends at which cut."""
    from tl_cli.plan.blocks import nearest_cut

    marks: dict[int, list[float]] = {}
    for ratio in QUARTERS:
        marks.setdefault(nearest_cut(found, ratio), []).append(ratio)
    return marks


def _cells(block: Block, whole: int, ratios: list[float]) -> list[str]:
    return [
        str(len(block.layers)),
        f"{block.parameters:,}",
        f"{block.multiply_adds / whole:.1%}",
        " x ".join(map(str, block.output_shape)),
        f"{block.cache_bytes / 1000:,.1f} kB",
        ", ".join(f"{ratio:g}" for ratio in ratios),
    ]
