"""What an export looks like to a reader. Knows nothing of how it was made."""

from __future__ import annotations

from rich.markup import escape

from tl_cli.console import Screen
from tl_cli.console.tables import size
from tl_cli.formats import FORMATS
from tl_cli.results import Equality, Export


def show_export(screen: Screen, result: Export) -> None:
    """Say what was written, how equal it is, and how fast."""
    title = FORMATS[result.format].title + (f", {result.quantize}" if result.quantize else "")
    _say(screen, f"[bold]{title}:[/] {escape(result.path)} ({size(result.bytes)})")
    _say(screen, f"Checked in {result.runtime}: {_equality(result.equality)}")
    if result.encoded:
        _say(
            screen,
            f"Given image files, which it opens itself: {_equality(result.encoded)}; "
            "it does not turn images by EXIF",
        )
    if result.trained_in != "float32":
        _say(screen, f"Trained in {result.trained_in}, exported and compared in float32")
    if result.milliseconds:
        times = ", ".join(f"{ms:.2f} ms at {b}" for b, ms in result.milliseconds.items())
        _say(screen, f"Time an image, by batch size: {times}")


def _equality(found: Equality) -> str:
    allowed = found.allowed_difference
    return (
        f"{found.images} validation images, greatest difference of a probability "
        f"{found.difference:.1e}" + (f" (allowed {allowed:.0e})" if allowed else "")
        + f", same class {found.agreement:.1%}"
        + (f" (at least {found.least_agreement:.0%})" if found.least_agreement else "")
    )  # fmt: skip


def _say(screen: Screen, text: str) -> None:
    screen.out.print(text, highlight=False, soft_wrap=True)
