"""Names for files that are made from other names: as long as a file system takes, and unique."""

from __future__ import annotations

import hashlib
import os

MOST = 255  # bytes of a name, on nearly all file systems
ANY = ("utf-8", "surrogatepass")  # a label need not be text
DIGITS = 8  # of the digest that keeps what was shortened apart


def shortened(stem: str, ending: str = "", *, room: int = 0) -> str:
    """Return stem + ending, the stem cut where the name is too long for a file system.

    Two stems that are cut stay two names: what is cut off leaves a digest. `room`: bytes that are
    wanted for more, such as a number.
    """
    most = MOST - room - len(os.fsencode(ending))
    if len(os.fsencode(stem)) <= most:
        return stem + ending
    return _with_digest(stem, stem, most - DIGITS - 1) + ending


def distinct(name: str, source: str) -> str:
    """Return a name that tells what it was made from, where another would be made the same."""
    return _with_digest(name, source, MOST - DIGITS - 1)


def _with_digest(name: str, source: str, most: int) -> str:
    digest = hashlib.blake2b(source.encode(*ANY), digest_size=DIGITS // 2).hexdigest()
    while len(os.fsencode(name)) > most:
        name = name[:-1]  # whole characters
    return f"{name}~{digest}"
