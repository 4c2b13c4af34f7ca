"""What a network says of an image, and how that is written: rows of CSV, lines of JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tl_cli import csv_cells
from tl_cli.data.manifest import MULTILABEL, names_in

SET, SEPARATOR = ("set_size", "set"), ";"  # columns of a set; between its classes
HEADER = ("path", "label", "probability", "error", "best_guess", "unknown_score")


@dataclass(frozen=True)
class ImagePrediction:
    """One image: what it was taken for, or why it could not be opened."""

    path: str
    guesses: tuple[tuple[str, float], ...] = ()  # classes with probabilities, the best first
    label: str = ""  # that of the best guess, `unknown` or `unsure`; "" with an error
    error: str = ""
    unknown_score: float | None = None  # above 1: unlike the training images
    candidates: tuple[str, ...] = ()  # the classes of its set, where a coverage was asked for

    @property
    def is_unknown(self) -> bool:
        return self.unknown_score is not None and self.unknown_score > 1

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        told = {
            "path": self.path,
            "label": self.label or None,
            "probability": round(self.guesses[0][1], 6) if self.guesses else None,
            "top": [{"label": name, "probability": round(p, 6)} for name, p in self.guesses],
            "error": self.error or None,
            "best_guess": self.guesses[0][0] if self.guesses else None,
            "unknown_score": None if self.unknown_score is None else round(self.unknown_score, 4),
        }
        return told | ({"set": list(self.candidates)} if self.candidates else {})


@dataclass(frozen=True)
class LabelsPrediction(ImagePrediction):
    """One image of any number of labels: `label` joins those that are said of it, if any.

    `guesses`: all classes, the most probable first.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are said, the most probable first."""
        if self.is_unknown:
            return ()
        said = names_in(self.label, MULTILABEL)
        return tuple(name for name, _ in self.guesses if name in said)

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "path": self.path,
            "labels": None if self.error else list(self.labels),
            "probabilities": {name: round(p, 6) for name, p in self.guesses},
            "error": self.error or None,
            "unknown_score": None if self.unknown_score is None else round(self.unknown_score, 4),
        }


@dataclass(frozen=True)
class ValuePrediction(ImagePrediction):
    """One image of which a number is said, and between which two it is for most such images."""

    value: float | None = None  # None with an error
    radius: float | None = None  # either way; None where that is not known

    @property
    def ends(self) -> tuple[float, float] | None:
        """The ends of the interval."""
        if self.value is None or self.radius is None:
            return None
        return self.value - self.radius, self.value + self.radius

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        low, high = self.ends or (None, None)
        return {
            "path": self.path,
            "value": self.value,
            "lower": low,
            "upper": high,
            "error": self.error or None,
            "unknown_score": None if self.unknown_score is None else round(self.unknown_score, 4),
        }


VALUES = ("path", "value", "lower", "upper", "error", "unknown_score")


def value_row(answer: ImagePrediction, top: int) -> str:
    """Return the row of one image of which a number is said; seven digits, as float32 has them."""
    numbers = [answer.to_json().get(name) for name in VALUES[1:4]]
    told = ("" if number is None else f"{number:.7g}" for number in numbers)
    score = "" if answer.unknown_score is None else f"{answer.unknown_score:.4f}"
    return csv_cells.row([answer.path, *told, answer.error, score])


def csv_header(top: int, *, sets: bool = False) -> str:
    """Return the names of the columns; those of further guesses come last, and those of a set."""
    more = (f"{name}_{i}" for i in range(2, top + 1) for name in ("label", "probability"))
    return csv_cells.row([*HEADER, *more, *(SET if sets else ())])


def csv_row(answer: ImagePrediction, top: int, *, sets: bool = False) -> str:
    """Return one image's row, with probabilities to six digits."""
    guesses = [*answer.guesses, *[("", None)] * (top - len(answer.guesses))]
    told = [("" if p is None else f"{p:.6f}") for _, p in guesses]
    more = (cell for pair in zip([n for n, _ in guesses], told, strict=True) for cell in pair)
    best, *further = more
    score = "" if answer.unknown_score is None else f"{answer.unknown_score:.4f}"
    first = (answer.path, answer.label, told[0], answer.error, best, score)
    held = (len(answer.candidates) or "", SEPARATOR.join(answer.candidates)) if sets else ()
    return csv_cells.row([*first, *further[1:], *held])


def json_row(answer: ImagePrediction, top: int) -> str:
    """Return one image's line of JSON."""
    return json.dumps(answer.to_json()) + "\n"


@dataclass(frozen=True)
class Format:
    """How answers are written, and read back by whoever goes on with a file."""

    header: Callable[[int], str]
    row: Callable[[ImagePrediction, int], str]
    read: Callable[[str], list[dict[str, Any]]]
    multiline: bool  # whether a row may hold line breaks, in quotes


def format_of(
    form: str, several: Sequence[str] = (), *, sets: bool = False, number: bool = False
) -> Format:
    """Return how answers are written; of `several` labels an image, with a column a class.

    `sets`: with each image's set of classes. `number`: a number each, with its interval.
    """
    if form == "csv" and number:
        return replace(FORMATS[form], header=lambda top: csv_cells.row(VALUES), row=value_row)
    if form != "csv" or not (several or sets):
        return FORMATS[form]
    if sets:
        header, row = partial(csv_header, sets=True), partial(csv_row, sets=True)
        return replace(FORMATS[form], header=header, row=row)
    first = ("path", "label", "error", "unknown_score")
    columns = (*first, *(f"probability_{name}" for name in several))

    def csv_of(answer: ImagePrediction, top: int) -> str:
        by_name = dict(answer.guesses)
        told = (f"{by_name[name]:.6f}" if name in by_name else "" for name in several)
        score = "" if answer.unknown_score is None else f"{answer.unknown_score:.4f}"
        return csv_cells.row([answer.path, answer.label, answer.error, score, *told])

    return replace(FORMATS[form], header=lambda top: csv_cells.row(columns), row=csv_of)


FORMATS = {
    "csv": Format(csv_header, csv_row, csv_cells.rows, multiline=True),
    "jsonl": Format(
        lambda top: "",
        json_row,
        lambda text: [json.loads(line) for line in text.split("\n")[:-1]],
        multiline=False,
    ),
}
