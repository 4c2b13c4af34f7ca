"""Where each image lies on a map on which what looks alike lies together; to and from CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tl_cli import csv_cells
from tl_cli.errors import TLError
from tl_cli.store import reading

COLUMNS = ("path", "x", "y", "doubtful")
MOST = 5_000  # points that are read: a page of more could not be opened


@dataclass(frozen=True)
class MapPoint:
    """One image: across and down, 0 to 1, and whether its label may be wrong."""

    path: str
    x: float
    y: float
    doubtful: bool


def csv_text(points: Iterable[MapPoint]) -> str:
    """Return the table, one line an image."""
    rows = ((p.path, f"{p.x:.4f}", f"{p.y:.4f}", int(p.doubtful)) for p in points)
    return csv_cells.table(COLUMNS, rows)


def read(path: Path) -> tuple[MapPoint, ...]:
    """Read the table back; none where there is none. Raises TLError where it is damaged."""
    try:
        return tuple(_point(row) for row in reading.rows_of(path, COLUMNS)[:MOST])
    except FileNotFoundError:
        return ()
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TLError(f"the map in {path} is damaged", "train again, or remove it") from error


def _point(row: dict[str, str]) -> MapPoint:
    path, x, y, doubtful = (row[name] for name in COLUMNS)
    across, down = float(x), float(y)
    if not (0 <= across <= 1 and 0 <= down <= 1):
        raise ValueError(f"a place beyond the map: {x}, {y}")
    return MapPoint(path, across, down, doubtful == "1")
