"""What a run said of each image that it was evaluated on, to and from predictions.csv. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tl_cli.errors import TLError


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
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    for each in predictions:
        writer.writerow(asdict(each) | {"probability": f"{each.probability:.6f}"})
    return text.getvalue()


def read(path: Path) -> list[Prediction]:
    """Read the table back. Raises TLError where it is missing or damaged."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return [_prediction(row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise TLError(
            f"there is no {path}", "the run did not finish, or an older tl made it: train again"
        ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TLError(f"the predictions in {path} are damaged", "train again") from error


def _prediction(row: dict[str, str]) -> Prediction:
    path, split, label, predicted, probability = (row[name] for name in COLUMNS)
    return Prediction(path, split, label, predicted, float(probability))
