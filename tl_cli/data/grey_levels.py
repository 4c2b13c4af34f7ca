"""How many bits the levels of a data set take, grey or coloured, in files that have room for more.

Microscopes, X-ray machines and depth cameras write 10, 12 or 14 bits into files of 16. Scaled by
what the file could hold they are nearly black; scaled each by its own brightest pixel, dark images
would be as bright as others. So all are scaled by what the training images hold, and the checkpoint
keeps it. Where these have 8 bits, nothing is known, and each image is scaled by the fewest bits
that hold it: so what was trained on 8-bit versions is right on the originals. Opens no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tl_cli.data.manifest import Record
from tl_cli.errors import TLError

if TYPE_CHECKING:
    import numpy as np

FILE = 16  # the bits of the files
BITS = (8, 10, 12, 14, FILE)  # what is in them
MODE = "{};{}"  # the mode of a record: Pillow's, and the bits of its own levels
HOT = 1_000  # of so many pixels one may be brighter than the bits hold: a hot pixel, a label
ODD = 50  # of so many images one may have more bits than the data set
_in_use: int | None = None


def bits_of(levels: np.ndarray) -> int | None:
    """Return the fewest of BITS that hold all levels but a few; None where none do."""
    few = max(1, levels.size // HOT)
    return next((bits for bits in BITS if (levels >= 2**bits).sum() <= few), None)


def held(records: Iterable[Record]) -> int | None:
    """Return the bits that the 16-bit files among the training images hold; None without such.

    All of them but a few. Records that have not been split yet count as training images.
    """
    known = (bits_in(r.mode) for r in records if r.is_open)
    bits = sorted(each for each in known if each)
    return bits[-1 - len(bits) // ODD] if bits else None


def bits_in(mode: str) -> int | None:
    """Return the bits that a record's mode speaks of; None for one of 8 bits or of floats."""
    named = re.fullmatch(r"[A-Z]+;(\d+)", mode)
    return int(named[1]) if named else None


def use(bits: object) -> None:
    """Have levels scaled by so many bits from here on, in this process; None: see above.

    Of the process, as seeds and precision are: one run is trained, or one checkpoint used, at once.
    Raises TLError for what is no such number.
    """
    global _in_use
    if bits is not None and (bits not in BITS or not isinstance(bits, int)):
        raise TLError(f"{bits!r} is no number of bits of grey levels: {BITS}", "train again")
    _in_use = bits


def in_use() -> int | None:
    """Return the bits that levels are scaled by; None where each image is by its own."""
    return _in_use
