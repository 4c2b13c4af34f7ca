"""How many bits the grey levels of a data set take, in files that have room for more.

Microscopes, X-ray machines and depth cameras write 10, 12 or 14 bits into files of 16. Scaled by
what the file could hold they are nearly black; scaled each by its own brightest pixel, dark images
would be as bright as others. So all are scaled by what the training images hold, and the checkpoint
keeps it. Where these have 8 bits, nothing is known, and each image is scaled by the fewest bits
that hold it: so what was trained on 8-bit versions is right on the originals. Opens no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tl_cli.data.manifest import Record
from tl_cli.errors import TLError

FILE = 16  # the bits of the files
BITS = (8, 10, 12, 14, FILE)  # what is in them
MODE = "I;{}"  # the mode of a record, by the bits of its own levels
_in_use: int | None = None


def bits_of(top: float) -> int | None:
    """Return the fewest of BITS in which a level fits; None where it needs more than all."""
    return next((bits for bits in BITS if top < 2**bits), None)


def held(records: Iterable[Record]) -> int | None:
    """Return the bits that the 16-bit files among the training images hold; None without such.

    Records that have not been split yet count as training images.
    """
    modes = {r.mode for r in records if r.split not in ("val", "test")}
    bits = [int(known[1]) for mode in modes if (known := re.fullmatch(r"I;(\d+)", mode))]
    return max(bits, default=None)


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
