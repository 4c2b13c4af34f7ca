"""What goes on in a command: its stage in words, how far it is, how fast, how long it takes still.

Knows nothing of terminals: it gives lines of text, and no colours.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tl_cli.humanize import duration, percent
from tl_cli.results.progress import Progress

SPINNER, PLAIN_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
TITLES = {  # of a stage; {k} and {n} where it comes several times
    "scan": "Looking through the images",
    "images": "Looking through the images",
    "decode": "Reading the images",
    "similarity": "Passing the images through the network",
    "features": "Passing the images through the network",
    "val images": "Passing the images through the network",
    "mirrored": "Trying mirror images",
    "view": "Preparing varied images, {k} of {n}",
    "epoch": "Training, epoch {k} of {n}",
    "evaluate": "Testing",
    "validation": "Testing",
    "against": "Testing the other one",
    "report": "Measuring what the report tells",
    "rates": "Trying learning rates",
    "predict": "Looking at the images",
    "explain": "Looking at the images",
    "search": "Searching",
    "build": "Building the network",
    "head": "Learning the classes",
    "evidence": "Comparing what it sees early and late",
    "plan": "Planning",
    "tune": "Preparing the training",
    "again": "Learning the classes again",
    "save": "Saving",
}
FULL, REST = "█", "░"
SAY_SECONDS_FROM = 2.0  # a stage without a measure says how long it has been going on
BAR = (8, 30)  # characters, at least and at most


@dataclass
class _Stage:
    """One kind of work, over all its rounds."""

    kind: str
    title: str
    began: float
    share: float = -1.0  # of it that is done; negative where that is not known
    first: tuple[float, float] | None = None  # when, and units done, at the first report
    last: tuple[float, float] = (0.0, 0.0)
    total: float = 0.0  # units, in all rounds
    unit: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)

    def see(self, event: Progress, k: int, n: int, now: float) -> None:
        done = (k - 1) * event.total + event.done
        if self.first is None or done < self.last[1]:  # the same again, of other images
            self.first = (now, done)
        self.last, self.total, self.unit = (now, done), event.total * n, event.unit
        self.share = done / max(self.total, 1)
        self.facts = {**self.facts, **event.facts}

    @property
    def speed(self) -> float | None:
        """Units a second, without the first of them, which trace and build; None: not known yet."""
        if self.first is None or self.last[0] - self.first[0] < 0.3:
            return None
        return (self.last[1] - self.first[1]) / (self.last[0] - self.first[0])

    def left(self, now: float) -> float | None:
        """Return the seconds that this stage takes still."""
        if not self.speed:
            return None
        return max(0.0, (self.total - self.last[1]) / self.speed - (now - self.last[0]))


class Activity:
    """What is going on, from the events that the engine reports."""

    def __init__(self, *, plain: bool = False) -> None:
        self._spinner = PLAIN_SPINNER if plain else SPINNER
        self._stage: _Stage | None = None
        self._later: dict[str, float] = {}  # seconds of stages to come, by kind
        self.footer = ""  # said below it all

    @property
    def kind(self) -> str:
        """What goes on, whichever round of it."""
        return (self._stage.kind or self._stage.title) if self._stage else ""

    @property
    def title(self) -> str:
        return self._stage.title if self._stage else ""

    def begin(self, title: str) -> None:
        """Say what goes on where nothing can be counted."""
        self._leave()
        self._stage = _Stage("", title, time.monotonic())

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Take over how long later stages will take, by kind, so that all of it is told."""
        self._later = {kind: s for kind, s in seconds.items() if s}

    def see(self, event: Progress) -> None:
        """Take over how far a stage is."""
        kind, k, n = _numbered(event.stage)
        now = time.monotonic()
        stage = self._stage
        if stage is None or stage.kind != kind:
            stage = _Stage(kind, "", now)
            self._leave()
        stage.title = TITLES.get(kind, kind[:1].upper() + kind[1:]).format(k=k, n=n)
        if event.total:
            stage.see(event, k, n, now)
        self._stage = stage

    def _leave(self) -> None:
        if self._stage:
            self._later.pop(self._stage.kind, None)

    def sentence(self) -> str:
        """Return what goes on and how far it is, for where nothing can be drawn over."""
        stage = self._stage
        far = f", {percent(stage.share)}" if stage and stage.share >= 0 else ""
        return f"{self.title}{far} ..."

    def lines(self, width: int) -> list[str]:
        """Return one to three lines, none longer than the width."""
        stage, now = self._stage, time.monotonic()
        if stage is None:
            return [""]
        spin = self._spinner[int(now * 10) % len(self._spinner)]
        gone = now - stage.began
        if stage.share < 0:
            left = self._left(stage, now)
            more = [f"about {_seconds(left)} left"] if left else []
            more = more or ([f"{gone:.0f} s"] if gone >= SAY_SECONDS_FROM else [])
            lines = ["  ".join([f"{spin} {stage.title}", *more])]
        else:
            lines = [f"{spin} {stage.title}{_said(stage.facts)}", self._measure(stage, now, width)]
        lines += [f"  {self.footer}"] if self.footer else []
        return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]

    def _measure(self, stage: _Stage, now: float, width: int) -> str:
        speed, left = stage.speed, self._left(stage, now)
        told = [percent(stage.share).rjust(5)]
        told += [f"{speed:,.0f} {stage.unit}/s"] if speed else []
        told += [f"{_seconds(left)} left"] if left else []
        rest = "  ".join(told)
        if len(rest) + 3 + BAR[0] > width and speed:
            rest = "  ".join([told[0], *told[2:]])
        size = max(BAR[0], min(BAR[1], width - 3 - len(rest)))
        full = round(size * min(stage.share, 1.0))
        return f"  {FULL * full}{REST * (size - full)} {rest}"

    def _left(self, stage: _Stage, now: float) -> float | None:
        """Return the seconds that this stage and those after it take still."""
        known = self._later.get(stage.kind)
        own = stage.left(now)
        if own is None and known is not None:
            own = max(0.0, known - (now - stage.began))
        others = sum(s for kind, s in self._later.items() if kind != stage.kind)
        left = (own or 0.0) + others
        return left if left >= 1 else None


def _numbered(stage: str) -> tuple[str, int, int]:
    """Return the kind of a stage, and which of how many of that kind it is."""
    match = re.fullmatch(r"(\w+) (\d+)/(\d+)", stage)
    return (match[1], int(match[2]), int(match[3])) if match else (stage, 1, 1)


def _seconds(left: float) -> str:
    return f"{left:.0f} s" if left < 60 else duration(left)


def _said(facts: Mapping[str, float]) -> str:
    if "val accuracy" in facts:
        return f" ({percent(facts['val accuracy'])} right by now)"
    named = ((name, value) for name, value in facts.items() if name.startswith("val "))
    return next((f" ({name.removeprefix('val ')} {value:.2f} by now)" for name, value in named), "")
