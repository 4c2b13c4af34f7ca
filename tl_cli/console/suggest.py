"""Which images to label next, as a reader sees them. Imports rich as the console does."""

from __future__ import annotations

from tl_cli.console.screen import Screen, safe, say
from tl_cli.humanize import count
from tl_cli.results.suggestions import Suggestions

SHOWN = 10  # on the screen; the files have all


def show_suggestions(screen: Screen, result: Suggestions) -> None:
    """Name the first images, with the reason for each."""
    few = f"; the first {SHOWN}:" if len(result.chosen) > SHOWN else ":"
    images = count(len(result.chosen), "image")
    say(screen, f"[bold]Label next:[/] {images} of {result.pool:,}{few}")
    for each in result.chosen[:SHOWN]:
        say(screen, f"  {safe(each.path)}  [dim]{safe(each.why)}[/]")
