"""Which bands of an image of many are red, green and blue: of this process, as seeds are. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tl_cli.errors import TLError

MOST = 1_000  # bands of one image
_in_use: tuple[int, ...] | None = None


def parse(text: str) -> tuple[int, ...]:
    """Return band numbers, from 1 on, of "3,2,1" or "5". Raises ValueError for anything else."""
    numbers = tuple(int(part) for part in text.split(",") if part.strip().isdecimal())
    if len(numbers) not in (1, 3) or len(numbers) != text.count(",") + 1 or not _are(numbers):
        raise ValueError("must be three bands, red, green and blue, like 3,2,1, or a single one")
    return numbers


def use(numbers: Sequence[int] | None) -> None:
    """Have these bands taken from here on, in this process; None: images have no more than three.

    Raises TLError for what are no band numbers: they may come from a checkpoint.
    """
    global _in_use
    if numbers is not None and not _are(numbers):
        raise TLError(f"{numbers!r} are no three bands of an image", "train again")
    _in_use = tuple(numbers) if numbers else None


def in_use() -> tuple[int, ...] | None:
    """Return the bands that are taken for red, green and blue."""
    return _in_use


def _are(numbers: object) -> bool:
    return (
        isinstance(numbers, list | tuple)
        and len(numbers) in (1, 3)
        and all(type(number) is int and 0 < number <= MOST for number in numbers)
    )
