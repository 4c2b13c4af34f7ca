"""`tl backbones`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli.cli.options import Json
from tl_cli.cli.session import opened_screen
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.cards.card import Card
    from tl_cli.console.screen import Screen


def backbones(
    json: Json = False,
    max_mb: Annotated[
        float | None, typer.Option(min=0, help="Only those whose weights take no more.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Only those under a licence that begins so: apache, mit.")
    ] = None,
    fetch: Annotated[
        str | None, typer.Option(help="Fetch the weights of one, for a machine without network.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The folder that --fetch writes to.")] = None,
) -> None:
    """List the pretrained networks, or fetch the weights of one."""
    with opened_screen(json=json) as screen:
        if fetch:
            _fetch(fetch, to, screen, json)
            return
        if to:
            raise TLError("--to says where --fetch NAME writes to", "give both")
        cards = _chosen(max_mb, licence)
        if json:
            print(jsonlib.dumps({card.name: _row(card) for card in cards}))
            return
        from tl_cli.console.backbones import show_backbones

        show_backbones(screen, cards, {card.name: _state(card) for card in cards})


def _chosen(max_mb: float | None, licence: str | None) -> list[Card]:
    """Return the cards that pass the filters. Raises TLError where none does."""
    from tl_cli import catalog

    found = [
        card
        for card in catalog.CARDS.values()
        if (max_mb is None or card.megabytes <= max_mb)
        and (licence is None or card.licence.lower().startswith(licence.lower()))
    ]
    if not found:
        known = sorted({card.licence for card in catalog.CARDS.values()})
        least = min(card.megabytes for card in catalog.CARDS.values())
        raise TLError(
            "no backbone is like that",
            f"licences: {', '.join(known)}; the smallest takes {least:.1f} MB",
        )
    return found


def _state(card: Card) -> str:
    """Return a row of console.backbones.GROUPS."""
    from tl_cli.cards import presence

    return presence.state(card)


def _row(card: Card) -> dict[str, Any]:
    from tl_cli import catalog

    return {
        "image_size": card.image_size,
        "parameters": card.parameters,
        "multiply_adds": card.multiply_adds,
        "relative_cost": round(catalog.relative_cost(card), 2),
        "megabytes": round(card.megabytes, 1),
        "blocks": len(card.blocks),
        "weights": _state(card),
        "default": card.name == catalog.DEFAULT,
        "pretrained_on": card.pretrained_on or None,
        "top1": card.top1,
        "top1_from": card.top1_from or None,
        "licence": card.licence,
        "terms": card.terms or None,
    }


def _fetch(name: str, to: Path | None, screen: Screen, json: bool) -> None:
    """Write a backbone's weights where they can be carried from, and say how they are used."""
    from tl_cli import catalog

    if to is None:
        raise TLError("--fetch needs a folder to write to", f"--fetch {name} --to DIR")
    card = catalog.get(name)
    catalog.require_pretrained(card)
    from tl_cli.engine import fetch as engine

    file, command = engine.fetch(card, to)
    if json:
        print(jsonlib.dumps({"backbone": name, "file": str(file), "use": command}))
        return
    from tl_cli.console.backbones import show_fetched

    show_fetched(screen, file, command)
