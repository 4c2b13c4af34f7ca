"""Tables and progress for people; the only module that imports rich.

Results go to standard output, progress and notes to standard error. Knows what the results mean to
a reader, and nothing of how they were made.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from tl_cli.errors import TLError
from tl_cli.humanize import duration, printable, saved, typed
from tl_cli.results.evaluation import Evaluation
from tl_cli.results.progress import Note, Progress
from tl_cli.results.training import RunResult

CONFIGURATION = "mistakes in the configuration:"  # how several of them begin
PLAIN_EVERY = 5.0  # seconds between two plain lines of one stage
WIDTH_WITHOUT_TERMINAL = 100


class Screen:
    """Where the user looks. A context: bars live as long as it does."""

    def __init__(self, *, quiet: bool = False, json: bool = False) -> None:
        self.quiet = quiet
        self.err = _console(sys.stderr)
        self._out = self.err if json else _console(sys.stdout)
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._plain: dict[str, tuple[float, float]] = {}

    @property
    def out(self) -> Console:
        """Where results are printed, below any bars."""
        self.settle()
        return self._out

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.settle()

    def settle(self) -> None:
        """End the bars where they stand, so that what is printed next comes below them."""
        if self._bars:
            self._bars.stop()
        self._bars, self._tasks = None, {}

    def on_progress(self, event: Progress | Note) -> None:
        """Draw what the engine reports."""
        if isinstance(event, Note):
            if event.warning or not self.quiet:
                self.note(event.text, warning=event.warning)
        elif self.quiet:
            return
        elif self.err.is_terminal:
            self._draw(event)
        else:
            self._print_plain(event)

    def note(self, text: str, *, warning: bool = False) -> None:
        """Say one line on standard error."""
        mark = "[yellow]warning:[/] " if warning else ""
        self.err.print(mark + safe(text), highlight=False, soft_wrap=True)

    def _draw(self, event: Progress) -> None:
        if not self._bars:
            self._bars = _bars(self.err)
        if event.stage not in self._tasks:
            self._tasks[event.stage] = self._bars.add_task(
                event.stage, facts="", unit=event.unit, total=event.total
            )
        task = self._tasks[event.stage]
        if self._bars.tasks[self._bars.task_ids.index(task)].finished and event.done < event.total:
            self._bars.reset(task)  # the same once more, of other images: its speed is its own
        self._bars.update(
            task,
            completed=event.done,
            total=event.total,
            facts=_facts(event.facts),
            unit=event.unit,
        )

    def _print_plain(self, event: Progress) -> None:
        now = time.monotonic()
        started, last = self._plain.setdefault(event.stage, (now, now))
        finished = event.done >= event.total
        if now - last < PLAIN_EVERY and not finished:
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

    def matrix(self, rows: Sequence[tuple[str, Sequence[str]]], columns: Sequence[str]) -> None:
        """Show a table of text with a heading a column and a name a row."""
        table = bare_table("", *map(safe, columns))
        for name, cells in rows:
            table.add_row(safe(name), *map(safe, cells))
        self.out.print(table)

    def data(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Show images per class and split."""
        names = list(next(iter(counts.values())))
        splits = [split for split, count in counts.items() if sum(count.values())]
        table = bare_table("class", *splits)
        shown = names if len(names) <= 30 else names[:15] + names[-5:]
        for name in shown:
            table.add_row(safe(name), *(f"{counts[split][name]:,}" for split in splits))
        if len(names) > len(shown):
            table.add_row(f"... {len(names) - len(shown)} more", *("" for _ in splits))
        table.add_row("all", *(f"{sum(counts[split].values()):,}" for split in splits))
        self.out.print(table)

    def evaluation(self, result: Evaluation) -> None:
        """Show the headline figures with their intervals."""
        self.out.print(f"[bold]{result.split}[/] ({result.n:,} images)", highlight=False)
        table = bare_table("", "value", "95 % interval")
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss"):
            found = result.intervals[name]
            interval = f"{found[0]:.3f} to {found[1]:.3f}" if found else ""
            label = name.replace("_", " ").replace("f1", "F1")
            table.add_row(label, f"{getattr(result, name):.3f}", interval)
        if result.top5 is not None:
            table.add_row("top-5 accuracy", f"{result.top5:.3f}", "")
        table.add_row("majority baseline", f"{result.majority_baseline:.3f}", "")
        self.out.print(table)

    def result(self, result: RunResult) -> None:
        """Show what a run came to."""
        for line in _ways(result):
            self.out.print(line, highlight=False)
        if result.tune:
            self.out.print(f"[bold]Tuning:[/] {safe(result.tune.reason)}", highlight=False)
        if result.head:
            self.out.print(f"[bold]Saved:[/] {_saved(result)}", highlight=False)
        for evaluation in result.metrics.values():
            self.evaluation(evaluation)
        spent = ", ".join(f"{k} {duration(v)}" for k, v in result.seconds.items() if k != "total")
        total = duration(result.seconds["total"])
        self.out.print(f"[bold]Time:[/] {total} ({spent})", highlight=False)
        self.out.print(f"[bold]Run:[/] {safe(result.run)}", highlight=False, soft_wrap=True)
        self.out.print(
            f"Next: {escape(typed('tl', 'evaluate', result.run))}", highlight=False, soft_wrap=True
        )


def _lines(message: str) -> list[str]:
    """Return the lines of several mistakes of a configuration; any other message is one line."""
    first, *others = message.split("\n  ")
    return [first, *others] if first.endswith(CONFIGURATION) else [message]


class _Speed(ProgressColumn):
    """How many units a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {task.fields['unit']}/s" if speed else "")


def _bars(console: Console) -> Bars:
    bars = Bars(
        TextColumn("[bold]{task.description:<9}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Speed(),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        console=console,
    )
    bars.start()
    return bars


def _console(file: Any) -> Console:
    console = Console(file=file)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    return console


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


def _saved(result: RunResult) -> str:
    kept = result.tune.kept if result.tune else "head"
    unseen = "[dim](figures on val: predictions made without these images in the fit)[/]"
    return f"{safe(saved(kept, refit=result.refit))} {unseen}"


def _ways(result: RunResult) -> Iterator[str]:
    head, scratch = result.head, result.scratch
    if head:
        yield (
            f"[bold]Head:[/] {head.kind}, solved; cross-validated accuracy "
            f"{head.cv_accuracy:.3f} ± {head.cv_stderr:.3f}"
        )
    if scratch:
        yield (
            "[bold]From scratch:[/] no head was solved, there was nothing to look at once; epoch "
            f"{scratch.best_epoch} of {scratch.epochs} was best on validation and is kept"
        )
