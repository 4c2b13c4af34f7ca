"""A stream to print to: it wraps at words, leaves no blanks, and puts aside what is drawn below.

Knows nothing of what is printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

WIDTH_ELSEWHERE = 100  # columns, where it is no terminal


class Terminal(Console):
    """A console that prints above what tells of the work, wraps at words and leaves no blanks."""

    def __init__(self, file: Any, aside: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(file=cast(Any, _Trimmed(file)))
        self._put_aside = aside
        if not self.is_terminal:
            self.width = WIDTH_ELSEWHERE

    @property
    def obeys(self) -> bool:
        """Whether this is a terminal on which lines can be drawn over."""
        return self.is_terminal and not self.is_dumb_terminal

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does; soft_wrap: sentences, which on a terminal are wrapped at words."""
        soft = options.pop("soft_wrap", False)
        if soft and self.is_terminal:
            objects = tuple(wrapped(self._text(each, options), self.width) for each in objects)
        if soft or options.get("no_wrap"):
            options |= {"overflow": "ignore", "crop": False, "no_wrap": True}
        with self._put_aside():
            super().print(*objects, **options)

    def _text(self, thing: Any, options: Mapping[str, Any]) -> Text:
        if isinstance(thing, Text):
            return thing
        return self.render_str(str(thing), markup=options.get("markup"), highlight=False)


def wrapped(text: Text, width: int, *, indent: str = "") -> Text:
    """Return a text with line breaks between words; a word that is longer stays whole.

    `indent`: what every line but the first begins with.
    """
    lines: list[Text] = []
    for line in text.split("\n", allow_blank=True):
        breaks, column = [], 0
        for word in re.finditer(r"\s*\S+", line.plain):
            if column and column + cell_len(word[0]) > width:
                breaks.append(word.end() - len(word[0].lstrip()))
                column = len(indent) + cell_len(word[0].lstrip())
            else:
                column += cell_len(word[0])
        lines += line.divide(breaks)
    for i, line in enumerate(lines):
        line.rstrip()
        lines[i] = Text(indent) + line if i else line
    return Text("\n").join(lines)


class _Trimmed:
    """A stream on which no line ends in blanks."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write(re.sub(r" +((?:\x1b\[0m)?)$", r"\1", text, flags=re.MULTILINE))
        return len(text)
