"""The last lines of a terminal, which tell what goes on: drawn over and over, and gone at the end.

A thread draws them, so that they live while the framework loads. Knows nothing of what they say.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

EVERY = 0.1  # seconds between two drawings
UP_AND_CLEAR, CLEAR = "\x1b[1A\x1b[2K", "\r\x1b[2K"


class Live:
    """Lines below what is printed. `lines`: called from the thread, each shorter than the width."""

    def __init__(self, stream: Any, lines: Callable[[], Sequence[str]]) -> None:
        self._stream, self._lines = stream, lines
        self._lock = threading.RLock()
        self._drawn = 0  # lines that stand on the terminal now
        self._ended: threading.Event | None = None

    @property
    def running(self) -> bool:
        return self._ended is not None

    def start(self, after: float = 0.0) -> None:
        """Draw from now on, the first time after so many seconds: what is over then was quick."""
        if not self._ended:
            self._ended = threading.Event()
            threading.Thread(target=self._draw_on, args=(self._ended, after), daemon=True).start()

    def stop(self) -> None:
        """Take the lines away; nothing is drawn any more."""
        if self._ended:
            self._ended.set()
        with self._lock:
            self._ended = None
            self._erase()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Take the lines away for as long as something else is printed."""
        with self._lock:
            self._erase()
            yield

    def _draw_on(self, ended: threading.Event, after: float) -> None:
        wait = after
        with contextlib.suppress(OSError, ValueError):  # a stream that takes no more ends it
            while not ended.wait(wait):
                with self._lock:
                    if not ended.is_set():
                        self._draw()
                wait = EVERY

    def _draw(self) -> None:
        lines = self._lines()
        over = CLEAR + UP_AND_CLEAR * (self._drawn - 1)
        self._stream.write(over + "\n".join(lines))
        self._stream.flush()
        self._drawn = len(lines)

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(CLEAR + UP_AND_CLEAR * (self._drawn - 1))
            self._stream.flush()
        self._drawn = 0
