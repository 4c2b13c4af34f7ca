"""How the backbones are listed: by where their weights are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tl_cli import catalog
from tl_cli.cards import places, presence
from tl_cli.cards.card import Card
from tl_cli.console.screen import Screen, bare_table, safe, say

GROUPS = {
    presence.HERE: "Here already",
    presence.TO_INSTALL: "To be installed: pip install 'tl-cli[lite]'",
    presence.TO_FETCH: "To be fetched, once, by Keras",
    presence.FROM_SCRATCH: "Only from scratch: nobody has published weights (--from-scratch)",
}
COLUMNS = ("px", "million", "cost", "MB", "top-1", "licence")
WHOLE_FROM = 9.95  # times the default's computation, from which on no tenth is shown


def show_backbones(screen: Screen, cards: Sequence[Card], states: Mapping[str, str]) -> None:
    """Show each group as a table, the default marked, what has terms of its own marked."""
    for state, title in GROUPS.items():
        group = [card for card in cards if states[card.name] == state]
        if not group:
            continue
        say(screen, f"[bold]{safe(title)}[/]")
        table = bare_table("", *COLUMNS)
        for card in group:
            table.add_row(_name(card), *map(safe, _cells(card)))
        screen.out.print(table)
        say(screen, "")
    if any(card.name == catalog.DEFAULT for card in cards):
        say(screen, "* the default")
    say(screen, "Million: parameters. Top-1: percent on ImageNet-1k, as published (--json says")
    say(screen, "where). Cost: the computation for an image, in that of the default.")
    say(screen, f"Others: {', '.join(f'{scheme}...' for scheme in places.SCHEMES)}")


def _name(card: Card) -> str:
    return safe(card.name) + (" *" if card.name == catalog.DEFAULT else "")


def _cells(card: Card) -> list[str]:
    cost = catalog.relative_cost(card)
    return [
        str(card.image_size),
        f"{card.parameters / 1e6:.1f}",
        f"{cost:.0f}" if cost >= WHOLE_FROM else f"{cost:.1f}",
        f"{card.megabytes:,.0f}",
        f"{card.top1:.1f}" if card.top1 else "",
        card.licence + (f" ({card.terms})" if card.terms else ""),
    ]


def show_fetched(screen: Screen, file: Path, command: str) -> None:
    """Say where the weights lie and how they are used where there is no network."""
    say(screen, f"Wrote {safe(str(file))}")
    say(screen, f"Copy it, then: {safe(command)}")
