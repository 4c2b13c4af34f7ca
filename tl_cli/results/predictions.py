"""What a run said of each image that it was evaluated on, to and from predictions.csv. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from tl_cli import csv_cells
from tl_cli.errors import TLError
from tl_cli.store import reading


@dataclass(frozen=True)
class Prediction:
    """One image: what it shows, and what the network took it for."""

    path: str
    split: str
    label: str
    predicted: str
    probability: float  # 0 to 1, of the predicted class

    @property
    def right(self) -> bool:
        return self.label == self.predicted


COLUMNS = [field.name for field in fields(Prediction)]


def csv_text(predictions: Iterable[Prediction]) -> str:
    """Return the table, one line an image; a probability keeps six digits."""
    rows = ((*astuple(each)[:-1], f"{each.probability:.6f}") for each in predictions)
    return csv_cells.table(COLUMNS, rows)


def read(path: Path) -> list[Prediction]:
    """Read the table back. Raises TLError where it is missing or damaged."""
    try:
        return [_prediction(row) for row in reading.rows_of(path, COLUMNS)]
    except FileNotFoundError:
        raise TLError(
            f"there is no {path}", "the run did not finish, or an older tl made it: train again"
        ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TLError(f"the predictions in {path} are damaged", "train again") from error


def _prediction(row: dict[str, str]) -> Prediction:
    path, split, label, predicted, probability = (row[name] for name in COLUMNS)
    sure = float(probability)
    if not 0 <= sure <= 1:
        raise ValueError(f"a probability of {sure}")
    return Prediction(path, split, label, predicted, sure)
