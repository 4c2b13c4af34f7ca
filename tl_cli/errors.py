"""What went wrong, in one sentence, and what to do next. Knows nothing of the other modules."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TLError(Exception):
    """A mistake that the user can mend: shown as one sentence and a hint, never as a traceback."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return ``"did you mean 'x'?"`` for the nearest valid word, or ``""`` if none is near."""
    near = difflib.get_close_matches(str(word).lower(), list(valid), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else ""


def unknown(kind: str, word: str, valid: Iterable[str]) -> TLError:
    """Return the error for a name that is not valid: received, nearest, all valid."""
    names = list(valid)
    near = did_you_mean(word, names)
    return TLError(
        f"unknown {kind} '{word}'" + (f": {near}" if near else ""), f"valid: {', '.join(names)}"
    )
