"""What the store has to say to the user, once each: whoever opens a screen listens. Prints nothing.

The store lies far below the screen, and what befalls it (no cache, a wait, damage) is no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str], None]

_listener: Listener | None = None
_said: set[str] = set()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have every notice given to `listener`; what was said before counts as not said."""
    global _listener
    before, _listener = _listener, listener
    _said.clear()
    try:
        yield
    finally:
        _listener = before


def say(topic: str, text: str) -> None:
    """Give a sentence to the listener, unless there was one on this topic already."""
    if _listener and topic not in _said:
        _said.add(topic)
        _listener(text)
