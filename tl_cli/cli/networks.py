"""`tl backbones` and `tl blocks`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli.cli.shared import Json, opened_screen

if TYPE_CHECKING:
    from tl_cli.blocks import Block

QUARTERS = (0.25, 0.5, 0.75)
WEIGHTS = {
    "package": "installed with tl",
    "keras": "downloaded once",
    "ours": "none: --from-scratch",
}


def backbones(json: Json = False) -> None:
    """List the networks that there are cards for."""
    with opened_screen(json=json) as screen:
        from tl_cli import catalog

        rows: dict[str, dict[str, Any]] = {
            card.name: {
                "image_size": card.image_size,
                "parameters": sum(block.parameters for block in card.blocks),
                "multiply_adds": sum(block.multiply_adds for block in card.blocks),
                "blocks": len(card.blocks),
                "weights": WEIGHTS[card.source],
                "pretrained_on": card.pretrained_on or None,
                "licence": card.licence,
            }
            for card in catalog.CARDS.values()
        }
        if json:
            print(jsonlib.dumps(rows))
            return
        cells = [
            (
                name,
                [
                    f"{row['image_size']} px",
                    f"{row['parameters'] / 1e6:.1f} M",
                    f"{row['multiply_adds'] / 1e9:.2f} G",
                    str(row["blocks"]),
                    str(row["weights"]),
                ],
            )
            for name, row in rows.items()
        ]
        screen.matrix(cells, ["images", "parameters", "multiply-adds", "blocks", "weights"])


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

        card = catalog.get(backbone)
        if image_size in (None, card.image_size):
            found: Sequence[Block] = card.blocks
        else:
            from tl_cli.engine import backbones as loading

            found = loading.load(card, image_size, weights=None).blocks
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
    from tl_cli.blocks import snap

    marks: dict[int, list[float]] = {}
    for ratio in QUARTERS:
        marks.setdefault(snap(found, ratio), []).append(ratio)
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
