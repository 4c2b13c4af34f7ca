"""`tl backbones`."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Any

from tl_cli.cli.options import Json
from tl_cli.cli.session import opened_screen

if TYPE_CHECKING:
    pass

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
