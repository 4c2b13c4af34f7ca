"""Standard streams that stop no command: whatever their encoding, and whether anybody reads them.

Characters that a stream has no code for are replaced. What nobody reads any more, or what a full
disk does not take, is dropped: a training is not lost to printing. Knows nothing of what is said.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from typing import Any, TextIO

REPLACING = "tl-replace"  # the name of our error handler
PLAIN = {  # what we draw with
    "█": "#", "░": ".", "━": "-", "±": "+-", "…": "...", "→": "->", "·": ".", "✔": "OK", "✘": "NO",
}  # fmt: skip


class Stream:
    """A text stream; `lost` is what the system said when it took no more, else None."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        if not self.lost:
            with self._dropping():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, or drop it."""
        if not self.lost:
            with self._dropping():
                self._stream.flush()

    @property
    def unread(self) -> bool:
        """Whether the reader has gone: it has seen enough."""
        return self.lost is not None and self.lost.errno == errno.EPIPE

    @contextlib.contextmanager
    def _dropping(self) -> Any:
        try:
            yield
        except OSError as error:
            self.lost = error
            # what is still held is written when the process ends, to where nothing can go wrong
            with contextlib.suppress(OSError, ValueError):
                descriptor = os.open(os.devnull, os.O_WRONLY)
                os.dup2(descriptor, self._stream.fileno())
                os.close(descriptor)


def install() -> None:
    """Make the process's standard streams such ones; those that are closed lead to nowhere."""
    codecs.register_error(REPLACING, _replaced)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115
    sys.stdout = _forgiving(sys.stdout or open(1, "w"))  # noqa: SIM115
    sys.stderr = _forgiving(_apart(sys.stderr or open(2, "w")))  # noqa: SIM115
    # names are bytes, and need not be text in the encoding of the terminal
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]


def _apart(stream: Any) -> Any:
    """Return standard error on a descriptor of its own.

    What is written stays seen where descriptor 2 is put aside, for what libraries print to it.
    """
    if isinstance(stream, Stream) or stream.fileno() != 2:
        return stream
    return os.fdopen(os.dup(2), "w", buffering=1, encoding=stream.encoding, errors=stream.errors)


def unread(stream: Any) -> bool:
    """Tell whether nobody reads a stream any more."""
    return isinstance(stream, Stream) and stream.unread


def lost_output() -> str:
    """Return why standard output could not be written; "" where it was, or nobody wanted it."""
    out = sys.stdout
    if isinstance(out, Stream):
        out.flush()
        if out.lost and not out.unread:
            return out.lost.strerror or str(out.lost)
    return ""


def _forgiving(stream: Any) -> Any:
    if isinstance(stream, Stream):
        return stream
    with contextlib.suppress(AttributeError):  # not a text file of Python's own
        stream.reconfigure(errors=REPLACING)
    return Stream(stream)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(c, "?") for c in text), error.end
