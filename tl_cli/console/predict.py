"""What a network says of images, as a table that grows while it is read.

Imports rich as the console does. Knows nothing of how the answers came about.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

from tl_cli.console.layout import lines, print_line, whole
from tl_cli.console.screen import Screen
from tl_cli.console.streams import unread
from tl_cli.humanize import printable
from tl_cli.results.explanations import Explanation
from tl_cli.results.regression import said as number
from tl_cli.store.prediction_forms import ImagePrediction, LabelsPrediction, ValuePrediction
from tl_cli.store.prediction_writer import NO_LABEL, UNKNOWN, UNSURE, PredictionSink

WIDEST = 80  # cells; a longer path only moves what stands behind it
MOST_LABELS = 12  # that are counted one by one


class PredictionTable(PredictionSink):
    """Prints a line for each answer; wide enough for all paths, which are known from the start."""

    on_screen = True

    def __init__(self, screen: Screen, paths: Sequence[str]) -> None:
        super().__init__()
        self.screen = screen
        self.width = min(WIDEST, max(cell_len(printable(path)) for path in paths))

    def take(self, answers: Sequence[ImagePrediction]) -> None:
        for answer in answers:
            _print(self.screen, answer, self.width)
        if unread(self.screen.out.file):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def explained(screen: Screen, each: Explanation) -> None:
    """Print a line for an explained image, and one for what it resembles."""
    guesses = ((each.label, each.probability),) if each.label else ()
    answer = ImagePrediction(each.path, guesses, each.label, each.error)
    if each.value is not None:
        answer = ValuePrediction(each.path, value=each.value)
    _print(screen, answer, 0)
    if each.neighbours:
        alike = ", ".join(whole(f"{n.label} {n.similarity:.2f}") for n in each.neighbours)
        for line in lines(f"like {alike}", screen.out.width - 2, hanging=2):
            print_line(screen, Text(f"  {line}", "dim"))


def show_counts(screen: Screen, labels: Mapping[str, int]) -> None:
    """Say on standard error how many images were taken for each class, the most frequent first."""
    if screen.quiet:
        return
    rows = [(printable(name), n) for name, n in labels.items()]
    rest = rows[MOST_LABELS:]
    if len(rest) > 1:
        rows = [*rows[:MOST_LABELS], (f"{len(rest):,} other classes", sum(n for _, n in rest))]
    most = max((cell_len(name) for name, _ in rows), default=0)
    digits = max((len(f"{n:,}") for _, n in rows), default=0)
    for name, n in rows:
        lead = name + " " * (most - cell_len(name))
        screen.err.print(Text(f"  {lead}  {n:>{digits},}"), highlight=False, soft_wrap=True)


def _print(screen: Screen, answer: ImagePrediction, width: int) -> None:
    """Print a line, or two where a terminal is too narrow for path and answer side by side."""
    path, said = printable(answer.path), _said(answer)
    pad = " " * max(0, width - cell_len(path))
    out = screen.out
    if out.is_terminal and max(width, cell_len(path)) + 2 + said.cell_len > out.width:
        print_line(screen, Text(path))
        print_line(screen, Text("  ") + said)
    else:
        print_line(screen, Text(f"{path}{pad}  ") + said)


def _said(answer: ImagePrediction) -> Text:
    text = Text()
    if answer.error:
        return text.append(f"error: {printable(answer.error)}", "red")
    if isinstance(answer, ValuePrediction) and answer.value is not None:
        if answer.is_unknown:
            text.append(f"{UNKNOWN}: ", "yellow")
        text.append(number(answer.value, answer.radius), "bold")
        if ends := answer.ends:
            low, high = (number(end, answer.radius) for end in ends)
            text.append(f"   {low} to {high}", "dim")
        return text
    if answer.is_unknown:
        text.append(f"{UNKNOWN}: ", "yellow")
    elif answer.label == UNSURE:
        text.append(f"{UNSURE}: ", "yellow")
    guesses = answer.guesses
    if isinstance(answer, LabelsPrediction):
        guesses = tuple(guess for guess in guesses if guess[0] in answer.labels)
        if not guesses and answer.is_unknown:
            guesses = answer.guesses[:1]
        if not guesses:
            name, probability = answer.guesses[0]
            nearest = f" (the most probable: {printable(name)} {probability:.3f})"
            return text.append(NO_LABEL, "yellow").append(nearest, "dim")
    for i, (name, probability) in enumerate(guesses):
        lesser = i and not isinstance(answer, LabelsPrediction)
        text.append(f"{'   ' if i else ''}{printable(name)} ", "" if lesser else "bold")
        text.append(f"{probability:.3f}", "dim" if i else "")
    others = [printable(name) for name in answer.candidates if name != answer.guesses[0][0]]
    if others:
        text.append(f"   or {', '.join(others)}", "dim")
    return text
