"""The terminal: what is printed, where, how wide; and what goes on meanwhile. rich is known here.

Results go to standard output, progress and notes to standard error. Knows nothing of how what it
shows was made.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tl_cli.console.live import Live
from tl_cli.console.progress import FULL, REST, Activity
from tl_cli.console.terminal import Terminal, wrapped
from tl_cli.errors import TLError
from tl_cli.humanize import duration, printable
from tl_cli.results.progress import Note, Progress

CONFIGURATION = "mistakes in the configuration:"  # how several of them begin
PLAIN_EVERY = 5.0  # seconds between two plain lines of one stage
BRIEF_EVERY = 30.0  # the same where a command is asked for no more than it has to say
STARTING, FRAMEWORK = "Starting", "tensorflow"  # where a command begins, what it may load
QUICK = 0.2  # seconds: what takes no longer needs no spinner


class Screen:
    """Where the user looks. A context: what tells of the work lives as long as it does.

    `verbose`: whether every finding and every stage leaves its line; None is between: findings do.
    """

    def __init__(
        self, *, quiet: bool = False, json: bool = False, verbose: bool | None = None
    ) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.began = time.monotonic()
        self.err = Terminal(sys.stderr, self._aside)
        self._out = self.err if json else Terminal(sys.stdout, self._aside)
        self.activity = Activity(plain=not self.err.encoding.startswith("utf"))
        self._live = Live(self.err.file, self._painted)
        # JSON is printed past this object
        self._lively = self.err.obeys and not quiet and not (json and sys.stdout.isatty())
        self._talks = self.err.is_terminal and not self.err.obeys and not quiet
        self._said = ("", 0.0)  # what goes on, as said last, and when
        self._plain: dict[str, tuple[float, float]] = {}

    @property
    def out(self) -> Console:
        """Where results are printed; what told of the work before them goes."""
        self.settle()
        return self._out

    def __enter__(self) -> Screen:
        if self._lively:
            self.activity.begin(STARTING)
            self._live.start(after=QUICK)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.settle()

    def settle(self) -> None:
        """Tell no more of what goes on, so that what is printed next stands alone."""
        self._live.stop()

    def busy(self, title: str) -> None:
        """Say what goes on from now on, where nothing can be counted."""
        self.activity.begin(title)
        self.activity.footer = ""
        if self._lively:
            self._live.start()
        elif self._talks:
            self._talk()

    def on_progress(self, event: Progress | Note) -> None:
        """Show what the engine reports."""
        if isinstance(event, Note):
            self._take(event)
        elif self.quiet:
            return
        else:
            self.activity.see(event)
            if self._lively:
                self._live.start()
            if self._talks and self.verbose is False:
                self._talk()
            elif event.total and (self.verbose or not self._lively):
                self._print_plain(event)

    def _talk(self) -> None:
        """Say what goes on, where it is something else, or has been going on for a while."""
        now = time.monotonic()
        kind, at = self._said
        if self.activity.kind != kind or now - at > PLAIN_EVERY:
            self._said = (self.activity.kind, now)
            self.note(self.activity.sentence())

    def _take(self, note: Note) -> None:
        brief = self.verbose is False
        if brief and note.lasting:
            self.activity.footer = printable(note.text)
        elif note.warning or not (self.quiet or (brief and not note.needed)):
            self.note(note.text, warning=note.warning)

    def note(self, text: str, *, warning: bool = False) -> None:
        """Say one sentence on standard error."""
        mark = "[yellow]warning:[/] " if warning else ""
        self.err.print(mark + safe(text), highlight=False, soft_wrap=True)

    def _aside(self) -> AbstractContextManager[None]:
        return self._live.aside() if self._lively else nullcontext()

    def _painted(self) -> Sequence[str]:
        if self.activity.title == STARTING and FRAMEWORK in sys.modules:
            self.activity.begin(f"Loading {FRAMEWORK}")
        lines = self.activity.lines(self.err.width - 1)
        if self.err.no_color or not self.err.color_system:
            return lines
        for run, colour in ((FULL, 32), (REST, 90)):
            lines = [re.sub(f"({run}+)", f"\x1b[{colour}m\\1\x1b[0m", line) for line in lines]
        return lines

    def _print_plain(self, event: Progress) -> None:
        """Print where a stage is: when it ends, and now and then while it goes on."""
        now = time.monotonic()
        started, last = self._plain.setdefault(event.stage, (now, now))
        finished = event.done >= event.total
        brief = self.verbose is False
        if now - last < (BRIEF_EVERY if brief else PLAIN_EVERY) and (brief or not finished):
            return
        if self._lively and not finished:  # the lines below tell it
            return
        self._plain[event.stage] = (started, now)
        if finished:  # the same once more, of other images, has a speed of its own
            del self._plain[event.stage]
        seconds = now - started
        speed = f"  {event.done / seconds:,.0f} {event.unit}/s" if seconds > 0.5 else ""
        left = (
            f"  {duration(seconds / event.done * (event.total - event.done))} left"
            if event.done and not finished and seconds > 0.5
            else ""
        )
        facts = _facts(event.facts)
        self.note(
            f"{event.stage}: {event.done:,}/{event.total:,} {event.unit}{speed}{left}"
            + (f"  {facts}" if facts else "")
        )

    def error(self, error: TLError) -> None:
        """Say a mistake and its hint on standard error."""
        self.settle()
        message = "\n  ".join(map(safe, _lines(error.message)))
        self.err.print(f"[bold red]error:[/] {message}", highlight=False, soft_wrap=True)
        if error.hint:
            self.err.print(f"[dim]hint:[/] {safe(error.hint)}", highlight=False, soft_wrap=True)

    def paragraph(self, markup: str, *, first: str = "", rest: str | None = None) -> None:
        """Print sentences: on a terminal wrapped at words; a path stays whole, however long.

        `first`: stands before the first line; `rest`: before the others, as many blanks by default.
        """
        start, out = Text.from_markup(first), self.out
        indent = " " * start.cell_len if rest is None else rest
        text = start + Text.from_markup(markup)
        if out.is_terminal:
            text = wrapped(text, max(out.width, 20), indent=indent)
        out.print(text, highlight=False, no_wrap=True)

    def whole(self, markup: str, *, label: str = "") -> None:
        """Print a line that is to be copied: it is not wrapped here, however long.

        `label`: stands before it, or above it where there is no room.
        """
        out, line = self.out, Text.from_markup(markup)
        before = Text(label, "dim")
        room = out.width if out.is_terminal else math.inf
        if before.cell_len + line.cell_len > room >= line.cell_len + 2:
            if label.strip():
                out.print(before, highlight=False, no_wrap=True)
            before = Text("  ")
        out.print(before + line, highlight=False, no_wrap=True)

    def matrix(self, rows: Sequence[tuple[str, Sequence[str]]], columns: Sequence[str]) -> None:
        """Show a table of text with a heading a column and a name a row."""
        from tl_cli.console.layout import table

        shown = [[printable(cell) for cell in (name, *cells)] for name, cells in rows]
        table(self, ["", *map(printable, columns)], shown)

    def data(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Show images per class and split."""
        names = list(next(iter(counts.values())))
        splits = [split for split, count in counts.items() if sum(count.values())]
        shown = names if len(names) <= 30 else names[:15] + names[-5:]
        rows = [(name, [f"{counts[split][name]:,}" for split in splits]) for name in shown]
        if len(names) > len(shown):
            rows.append((f"... {len(names) - len(shown)} more", [""] * len(splits)))
        rows.append(("all", [f"{sum(counts[split].values()):,}" for split in splits]))
        self.matrix(rows, splits)


def _lines(message: str) -> list[str]:
    """Return the lines of several mistakes of a configuration; any other message is one line."""
    first, *others = message.split("\n  ")
    return [first, *others] if first.endswith(CONFIGURATION) else [message]


def two_columns(gap: int = 2) -> Table:
    """Return a table of names and what there is to say of each, which may take several lines."""
    grid = Table.grid(padding=(0, gap))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def bare_table(*columns: str) -> Table:
    """Return a table without lines, names on the left and figures on the right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    return table


def say(screen: Screen, text: str) -> None:
    """Print one line of a result; what the user named in it must be `safe`."""
    screen.out.print(text, highlight=False, soft_wrap=True)


def safe(text: str) -> str:
    """Escape what rich reads as markup and what a terminal obeys: names are the user's own."""
    return escape(printable(text))


def _facts(facts: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in facts.items())
