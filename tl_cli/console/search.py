"""What a search found, as a reader sees it. Imports rich as the console does."""

from __future__ import annotations

from rich.text import Text

from tl_cli.console.screen import Screen
from tl_cli.humanize import printable
from tl_cli.results.search import Match, SearchResult


def show_matches(screen: Screen, result: SearchResult) -> None:
    """Print an image and, below it, a line for each training image that is like it."""
    head = Text(printable(result.path), "bold")
    if result.error:
        head.append(f"  error: {printable(result.error)}", "not bold red")
    screen.out.print(head, soft_wrap=True)
    width = max((len(printable(each.label)) for each in result.matches), default=0)
    for each in result.matches:
        screen.out.print(_line(each, width), highlight=False, soft_wrap=True)


def _line(each: Match, width: int) -> Text:
    text = Text(f"  {each.similarity:6.3f}  {printable(each.label):<{width}}  ")
    text.append(printable(each.path), "dim")
    return text.append("  (gone)", "yellow") if each.gone else text
