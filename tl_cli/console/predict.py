"""What a network says of images, as a table that grows while it is read.

Imports rich as the console does. Knows nothing of how the answers came about.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from tl_cli.console.screen import Screen
from tl_cli.console.streams import unread
from tl_cli.humanize import printable
from tl_cli.results.explanations import Explanation
from tl_cli.store.prediction_writer import UNSURE, ImagePrediction, PredictionSink

WIDEST = 80  # cells; a longer path only moves what stands behind it


class PredictionTable(PredictionSink):
    """Prints a line for each answer; wide enough for all paths, which are known from the start."""

    on_screen = True

    def __init__(self, screen: Screen, paths: Sequence[str]) -> None:
        super().__init__()
        self.screen = screen
        self.width = min(WIDEST, max(cell_len(printable(path)) for path in paths))

    def take(self, answers: Sequence[ImagePrediction]) -> None:
        out = self.screen.out
        for answer in answers:
            out.print(_line(answer, self.width), highlight=False, soft_wrap=True)
        if unread(out.file):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def explained(screen: Screen, each: Explanation) -> None:
    """Print a line for an explained image, and one for what it resembles."""
    guesses = ((each.label, each.probability),) if each.label else ()
    answer = ImagePrediction(each.path, guesses, each.label, each.error)
    screen.out.print(_line(answer, 0), highlight=False, soft_wrap=True)
    if each.neighbours:
        alike = (f"{printable(n.label)} {n.similarity:.2f}" for n in each.neighbours)
        screen.out.print(Text(f"  like {', '.join(alike)}", "dim"), soft_wrap=True)


def _line(answer: ImagePrediction, width: int) -> Text:
    path = printable(answer.path)
    text = Text(path + " " * max(0, width - cell_len(path)) + "  ")
    if answer.error:
        return text.append(f"error: {printable(answer.error)}", "red")
    if answer.label == UNSURE:
        text.append(f"{UNSURE}: ", "yellow")
    for i, (name, probability) in enumerate(answer.guesses):
        text.append(f"{'   ' if i else ''}{printable(name)} ", "" if i else "bold")
        text.append(f"{probability:.3f}", "dim" if i else "")
    return text
