"""Names of the user's -> names as a figure takes them: short, and of characters its font has."""

from __future__ import annotations

import functools
from collections.abc import Sequence

LONGEST = 28  # characters


def labels(names: Sequence[str]) -> list[str]:
    """Return class names as a figure takes them: short, and of characters that its font has.

    A name that loses characters is given its number, so that it can still be told from others.
    """
    numbers = {name: i for i, name in enumerate(sorted(set(names)), start=1)}
    return [_label(name, numbers[name]) for name in names]


def _label(name: str, number: int) -> str:
    drawable = "".join(c if c.isprintable() and ord(c) in _glyphs() else "?" for c in name)
    if drawable != name:
        drawable = f"{drawable} #{number}"
    if len(drawable) > LONGEST:
        half = LONGEST // 2
        drawable = f"{drawable[: half - 1]}…{drawable[-half:]}"
    return drawable.replace("$", r"\$")  # else formulas are seen between two of them


@functools.cache
def _glyphs() -> frozenset[int]:
    """Return the characters of the font that figures are drawn with."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    return frozenset(font.get_charmap())
