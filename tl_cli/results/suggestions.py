"""Which images of a pool to label next, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tl_cli import csv_cells
from tl_cli.data.manifest import BadFile

COLUMNS = ("rank", "path", "best_guess", "probability", "second_guess", "margin", "why")


@dataclass(frozen=True)
class Suggestion:
    """One image that is worth a label."""

    path: str
    why: str
    guesses: tuple[
        tuple[str, float], ...
    ] = ()  # the best two; of several labels the doubtful one; without a run none

    @property
    def margin(self) -> float | None:
        """By how much the best guess is more probable than the second; None without one."""
        if len(self.guesses) < 2:
            return None
        return self.guesses[0][1] - self.guesses[1][1]

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        best, second = (*self.guesses, ("", 0.0), ("", 0.0))[:2]
        return {
            "path": self.path,
            "best_guess": best[0] or None,
            "probability": round(best[1], 6) if self.guesses else None,
            "second_guess": second[0] or None,
            "margin": None if self.margin is None else round(self.margin, 6),
            "why": self.why,
        }


@dataclass(frozen=True)
class Suggestions:
    """The images to label, the first the one to begin with, and what they were chosen from."""

    source: str  # a run directory, or the name of a backbone
    pool: int  # different images that were chosen from
    chosen: Sequence[Suggestion]
    known: int = 0  # images of the pool that the run has already
    repeated: int = 0  # copies of others in the pool
    bad: Sequence[BadFile] = ()

    def csv_text(self) -> str:
        """Return the table, one line an image, the first to label on top."""
        rows = [each.to_json() | {"rank": i} for i, each in enumerate(self.chosen, 1)]
        lines = ([row[name] for name in COLUMNS] for row in rows)
        return csv_cells.table(COLUMNS, lines)

    def to_json(self, files: Mapping[str, Any]) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md; `files`: where they were put."""
        return {
            "source": self.source,
            "pool": self.pool,
            "known": self.known,
            "repeated": self.repeated,
            "suggestions": [each.to_json() for each in self.chosen],
            "failed": [{"path": each.path, "reason": each.reason} for each in self.bad],
            **files,
        }
