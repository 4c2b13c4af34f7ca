"""What a careful person would add to a figure, whatever the labels are."""

from __future__ import annotations

from collections.abc import Iterator

from tl_cli.humanize import count

FEW = 100  # images, below which a figure is rough


def of_images(n: int, copies: int) -> Iterator[str]:
    """Yield what is to be doubted about a figure on `n` images, `copies` of them trained on."""
    if copies:
        what = "is the copy" if copies == 1 else "are copies"
        yield f"{copies:,} of them {what} of an image it learned from: the figure is too good."
    if n < FEW:
        yield f"Measured on {count(n, 'image')} only: more photos make the figure surer."
