"""Writes tl_cli/cards/NAME.json: the blocks of every backbone of the catalogue, from the network.

python scripts/make_cards.py [NAME ...]
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from tl_cli import catalog
from tl_cli.engine.networks import loading

FOLDER = Path(__file__).parent.parent / "tl_cli" / "cards"


def main(names: list[str]) -> None:
    for name in names or catalog.CARDS:
        card = catalog.get(name)
        backbone = loading.load(card, card.image_size, weights=None)
        rows = ",\n  ".join(json.dumps(asdict(block)) for block in backbone.blocks)
        path = FOLDER / f"{name}.json"
        path.write_text(f'{{"image_size": {card.image_size}, "blocks": [\n  {rows}\n]}}\n')
        print(f"{path}: {len(backbone.blocks)} blocks")


if __name__ == "__main__":
    main(sys.argv[1:])
