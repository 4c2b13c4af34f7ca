"""A run in a line: what it is of and what it came to. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class RunLine:
    """One run; None and "" where its files do not say, or not yet."""

    run: str  # its directory
    state: str  # as its status file says: see store/run_dir.py
    running: bool  # whether a process is at work on it
    date: float | None  # when it was begun, seconds (Unix)
    data: str = ""
    backbone: str = ""
    strategy: str = ""  # head, partial, full or scratch
    freeze_ratio: float | None = None
    kept: str = ""  # the name of the candidate that was kept after a tuning
    split: str = ""  # which images it was measured on
    n: int | None = None
    accuracy: float | None = None
    mae: float | None = None  # mean absolute error, where a number is predicted
    mean_average_precision: float | None = None  # where images have several labels
    seconds: float | None = None
    resume: str = ""  # the command that goes on with it; "" where it is finished or cannot be
    replaced: bool = False  # whether it is the one that replaces this run that can be gone on with

    @property
    def finished(self) -> bool:
        return self.state == "done"

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return asdict(self) | {"resume": self.resume or None}
