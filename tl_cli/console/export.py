"""What an export looks like to a reader. Knows nothing of how it was made."""

from __future__ import annotations

from tl_cli.console.screen import Screen, safe, say
from tl_cli.export_formats import FORMATS
from tl_cli.humanize import count, size
from tl_cli.results.export import CHECKED_ON, Equality, Export


def show_export(screen: Screen, result: Export) -> None:
    """Say what was written, how equal it is, and how fast."""
    title = FORMATS[result.format].title + (f", {result.quantize}" if result.quantize else "")
    say(screen, f"[bold]{title}:[/] {safe(result.path)} ({size(result.bytes)})")
    say(screen, f"Checked in {result.runtime}: {_equality(result.equality, result)}")
    if result.encoded:
        say(
            screen,
            f"Given image files, which it opens itself: {_equality(result.encoded, result)}",
        )
    if result.recipe:
        say(screen, f"How to open images for it, in Python and JavaScript: {safe(result.recipe)}")
    if result.trained_in != "float32":
        say(screen, f"Trained in {result.trained_in}, exported and compared in float32")
    if result.milliseconds:
        times = ", ".join(f"{ms:.2f} ms at {b}" for b, ms in result.milliseconds.items())
        say(screen, f"Time an image, by batch size: {times}")


def _equality(found: Equality, result: Export) -> str:
    allowed = found.allowed_difference
    images = count(found.images, CHECKED_ON[result.checked_on])
    return (
        f"{images}, greatest difference of a probability {found.difference:.1e}"
        + (f" (allowed {allowed:.0e})" if allowed else "")
        + f", same class {found.agreement:.1%}"
        + (f" (at least {found.least_agreement:.0%})" if found.least_agreement else "")
    )  # fmt: skip
