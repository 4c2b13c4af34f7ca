"""Runs as a table: a row each, and below it how to go on with one that is not finished.

Knows nothing of how they were found.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tl_cli.console.layout import paragraph, table, whole
from tl_cli.console.screen import Screen
from tl_cli.humanize import count, duration, percent, printable, typed
from tl_cli.results.regression import said
from tl_cli.results.runs import RunLine

PLANS = {"head": "head alone", "full": "everything", "scratch": "from scratch"}
STATES = {  # of a run that is not finished and nobody is at work on
    "head": "cut off, its first result is saved",
    "running": "cut off",
    "died": "cut off",
    "interrupted": "interrupted",
    "failed": "failed",
}
HEADER = ("run", "data", "plan", "accuracy", "images", "time", "date")
LEFT = (0, 1, 2)


def show_runs(screen: Screen, runs: Sequence[RunLine], folder: str) -> None:
    """Show them in their order, and what to type next."""
    if not runs:
        first = whole("tl train --data DIR")
        paragraph(screen, f"no runs below {whole(folder)}; to make one: {first}")
        return
    rows = [(printable(each.run), *map(printable, _cells(each))) for each in runs]
    table(screen, HEADER, rows, left=LEFT, remarks=[_remark(each) for each in runs])
    finished = [each for each in runs if each.finished]
    screen.out.print()
    paragraph(screen, f"{count(len(runs), 'run')}, {len(finished):,} finished")
    if finished:
        _next(screen, finished)


def _next(screen: Screen, finished: Sequence[RunLine]) -> None:
    last = finished[-1]
    alike = [each.run for each in finished if each.data == last.data]
    if len(alike) > 1:
        command = typed("tl", "compare", *alike[-2:])
        paragraph(screen, f"Next, the last two on these data side by side: {whole(command)}")
    else:
        paragraph(screen, f"Next: {whole(typed('tl', 'evaluate', last.run))}")


def _cells(each: RunLine) -> tuple[str, ...]:
    accuracy = percent(each.accuracy, 1) if each.accuracy is not None else ""
    if each.mae is not None:
        accuracy = f"± {said(each.mae)}"  # on average
    if each.mean_average_precision is not None:
        accuracy = f"mAP {each.mean_average_precision:.3f}"
    images = f"{each.n:,} {each.split}" if each.n is not None else ""
    spent = duration(each.seconds) if each.seconds is not None else ""
    return (_data(each.data), _plan(each), accuracy, images, spent, _date(each.date))


def _data(source: str) -> str:
    """Return what data are called, without the folders above."""
    return Path(source).name or source


def _plan(each: RunLine) -> str:
    if each.strategy == "partial" and each.freeze_ratio is not None:
        plan = f"{percent(each.freeze_ratio)} frozen"
    else:
        plan = PLANS.get(each.strategy, each.strategy)
    return f"{plan}, head kept" if each.kept == "head" else plan


def _date(seconds: float | None) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""
    except (OverflowError, ValueError, OSError):  # no date that there can be
        return ""


def _remark(each: RunLine) -> str:
    if each.running:
        return "training now"
    state = STATES.get(each.state, "it cannot be told how it stands")
    if each.replaced and each.resume:
        return f"the run that is to replace it was cut off; go on with it: {whole(each.resume)}"
    if each.finished:
        return ""
    if each.resume:
        return f"{state}; go on with it: {whole(each.resume)}"
    return f"{state}; nothing is kept to go on with: train it anew"
