"""What `tl embed` has written, as a reader sees it. Imports rich as the console does."""

from __future__ import annotations

from tl_cli.console.screen import Screen, safe, say
from tl_cli.humanize import count
from tl_cli.results.embedding import Embedding


def show_embedding(screen: Screen, result: Embedding) -> None:
    """Say what lies where, and how much of it came from the cache."""
    passed = f", {result.cached:,} of them from the cache" if result.cached else ""
    say(screen, f"{count(result.images, 'image')} x {result.width:,} features{passed}")
    say(screen, f"[bold]Wrote:[/] {safe(result.output)}")
    if result.paths:
        say(screen, f"[bold]Paths and digests:[/] {safe(result.paths)}, a line for each row")
