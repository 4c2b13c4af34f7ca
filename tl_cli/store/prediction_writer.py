"""What a network says of images: rows of CSV, lines of JSON, a file that takes them as they come.

Such a file holds whole rows at any moment and is gone on with. Knows nothing of networks.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from tl_cli import csv_cells
from tl_cli.errors import TLError
from tl_cli.humanize import count, printable
from tl_cli.store.output import writing_to
from tl_cli.store.prediction_origin import PredictionOrigin

UNSURE, UNKNOWN = "unsure", "unknown"
HESITANT = 0.5  # a best guess below it is worth a word, whatever was asked for
SET, SEPARATOR = ("set_size", "set"), ";"  # columns of a set; between its classes
HEADER = ("path", "label", "probability", "error", "best_guess", "unknown_score")
JSON_START = '{"path": '
BYTES = ("utf-8", "surrogateescape")  # names on disk need not be valid UTF-8


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


def csv_header(top: int, sets: bool = False) -> str:
    """Return the names of the columns; those of further guesses come last, and those of a set."""
    more = (f"{name}_{i}" for i in range(2, top + 1) for name in ("label", "probability"))
    return csv_cells.row([*HEADER, *more, *(SET if sets else ())])


def csv_row(answer: ImagePrediction, top: int, sets: bool = False) -> str:
    """Return one image's row, with probabilities to six digits."""
    guesses = [*answer.guesses, *[("", None)] * (top - len(answer.guesses))]
    told = [("" if p is None else f"{p:.6f}") for _, p in guesses]
    more = (cell for pair in zip([n for n, _ in guesses], told, strict=True) for cell in pair)
    best, *further = more
    score = "" if answer.unknown_score is None else f"{answer.unknown_score:.4f}"
    first = (answer.path, answer.label, told[0], answer.error, best, score)
    held = (len(answer.candidates) or "", SEPARATOR.join(answer.candidates)) if sets else ()
    return csv_cells.row([*first, *further[1:], *held])


def json_row(answer: ImagePrediction, top: int, sets: bool = False) -> str:
    """Return one image's line of JSON."""
    return json.dumps(answer.to_json()) + "\n"


@dataclass(frozen=True)
class Format:
    """How answers are written, and read back by whoever goes on with a file."""

    header: Callable[[int, bool], str]
    row: Callable[[ImagePrediction, int, bool], str]
    read: Callable[[str], list[dict[str, Any]]]
    multiline: bool  # whether a row may hold line breaks, in quotes


FORMATS = {
    "csv": Format(csv_header, csv_row, csv_cells.rows, multiline=True),
    "jsonl": Format(
        lambda top, sets: "",
        json_row,
        lambda text: [json.loads(line) for line in text.split("\n")[:-1]],
        multiline=False,
    ),
}


@dataclass
class PredictionSink:
    """Takes answers as they come, and counts them."""

    rows: int = 0
    failed: int = 0
    hesitant: int = 0
    unknown: int = 0
    sizes: Counter[int] = field(default_factory=Counter)  # of the sets, where there are any
    labels: Counter[str] = field(default_factory=Counter)
    on_screen: ClassVar[bool] = False

    def write(self, answers: Sequence[ImagePrediction]) -> None:
        """Take the answers to some more images."""
        self.take(answers)
        self.rows += len(answers)
        self.failed += sum(bool(answer.error) for answer in answers)
        self.labels.update(answer.label for answer in answers if answer.label)
        self.unknown += sum(answer.is_unknown for answer in answers)
        self.sizes.update(len(answer.candidates) for answer in answers if answer.candidates)
        self.hesitant += sum(a.guesses[0][1] < HESITANT for a in answers if a.guesses)

    def take(self, answers: Sequence[ImagePrediction]) -> None:
        """Show or keep the answers."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "images": self.rows,
            "failed": self.failed,
            "unsure": self.labels[UNSURE],
            "unknown": self.unknown,
            "labels": dict(self.labels.most_common()),
        }


@dataclass
class Collected(PredictionSink):
    """Keeps all answers."""

    answers: list[ImagePrediction] = field(default_factory=list)

    def take(self, answers: Sequence[ImagePrediction]) -> None:
        self.answers += answers

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"predictions": [each.to_json() for each in self.answers]}


@dataclass
class Printed(PredictionSink):
    """Writes rows to standard output."""

    form: str = "csv"
    top: int = 1
    sets: bool = False
    on_screen = True

    def take(self, answers: Sequence[ImagePrediction]) -> None:
        shown = map(_shown, answers) if sys.stdout.isatty() else answers
        rows = "".join(FORMATS[self.form].row(answer, self.top, self.sets) for answer in shown)
        header = "" if self.rows else FORMATS[self.form].header(self.top, self.sets)
        sys.stdout.buffer.write((header + rows).encode(*BYTES))
        sys.stdout.buffer.flush()  # raises where nobody reads any more


def _shown(answer: ImagePrediction) -> ImagePrediction:
    """Return an answer as a terminal takes it, which obeys what a program only reads."""
    return ImagePrediction(
        printable(answer.path),
        tuple((printable(name), p) for name, p in answer.guesses),
        printable(answer.label),
        printable(answer.error),
        answer.unknown_score,
        tuple(map(printable, answer.candidates)),
    )


@dataclass
class PredictionFile(PredictionSink):
    """A file of answers, open at its end."""

    file: BinaryIO = field(kw_only=True)
    path: Path = field(kw_only=True)
    form: Format = field(kw_only=True)
    top: int = field(kw_only=True)
    sets: bool = field(kw_only=True, default=False)

    def take(self, answers: Sequence[ImagePrediction]) -> None:
        """Append the rows: all of them or, where the disk is full or the user stops, none."""
        self._append("".join(self.form.row(answer, self.top, self.sets) for answer in answers))

    def begin(self) -> None:
        """Write the header."""
        self._append(self.form.header(self.top, self.sets))

    def _append(self, text: str) -> None:
        whole, left = self.file.tell(), memoryview(text.encode(*BYTES))
        try:
            while left:
                left = left[self.file.write(left) :]
        except BaseException as error:
            self.file.truncate(whole)
            self.file.seek(whole)
            if isinstance(error, OSError):
                error.filename = str(self.path)
            raise


@contextmanager
def writing(
    path: Path,
    form: str,
    top: int,
    *,
    resume: bool,
    inputs: Sequence[str],
    origin: PredictionOrigin,
    batch: int = 1,
    sets: bool = False,
) -> Iterator[PredictionFile]:
    """Open a file for the answers to `inputs`; with `resume`, behind the rows that it has.

    Of those, as many stay as fill whole batches: the others are answered again in the batch in
    which they would have been, so that the file is in the end as if nothing had happened. Raises
    TLError where the file is there and not to be resumed, where another checkpoint or other options
    began it, where its rows are not those of the first inputs, or where it cannot be written.
    """
    if path.exists() and not resume:
        raise TLError(
            f"'{path}' is there already", "choose another --output, or go on with it by --resume"
        )
    with writing_to(f"'{path}'"):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+", buffering=0)
    with file:
        sheet = PredictionFile(file=file, path=path, form=FORMATS[form], top=top, sets=sets)
        _go_on(sheet, inputs, origin, batch)
        yield sheet
        os.fsync(file.fileno())


def _go_on(
    sheet: PredictionFile, inputs: Sequence[str], origin: PredictionOrigin, batch: int
) -> None:
    """Cut off a row that is not whole, count those that are, and check that they belong here."""
    sheet.file.seek(0)
    content = sheet.file.read().decode(*BYTES)
    header = sheet.form.header(sheet.top, sheet.sets)
    ends = [0, *_ends(content, sheet.form)]
    text = content[: ends[-1]]
    rows = _read(sheet, text) if text and text.startswith(header) else None
    # nothing is cut off a file that was not begun as this one would be
    if rows is None and (text or not _begins(content, header)):
        raise TLError(
            f"'{sheet.path}' does not hold the columns that would be written",
            "use the --format and --top-k it was begun with, or another --output",
        )
    rows = rows or []
    _check(sheet.path, [row["path"] for row in rows], inputs)
    if rows:
        origin.check(sheet.path)
    if len(rows) < len(inputs):
        rows = rows[: len(rows) // batch * batch]
        text = text[: ends[len(rows) + bool(header)]] if rows else ""
    sheet.file.truncate(len(text.encode(*BYTES)))
    sheet.file.seek(0, os.SEEK_END)
    if not rows:
        origin.write(sheet.path)
    if not text:
        sheet.begin()
    sheet.rows, sheet.failed = len(rows), sum(bool(row["error"]) for row in rows)
    sheet.labels.update(row["label"] for row in rows if row["label"])
    sheet.unknown = sum(bool(r.get("unknown_score")) and r["label"] == UNKNOWN for r in rows)


def _begins(content: str, header: str) -> bool:
    """Tell whether a file without a whole line is the beginning of one of ours."""
    start = header or JSON_START
    return content.startswith(start) if len(content) > len(start) else start.startswith(content)


def _ends(text: str, form: Format) -> Iterator[int]:
    """Yield where each whole row ends: behind a newline that no quotes enclose."""
    start = open_quotes = 0
    while end := text.find("\n", start) + 1:
        open_quotes += text.count('"', start, end) * form.multiline
        start = end
        if open_quotes % 2 == 0:
            yield end


def _read(sheet: PredictionFile, text: str) -> list[dict[str, Any]] | None:
    try:
        rows = sheet.form.read(text)
        return rows if all(map(_is_row, rows)) else None
    except (ValueError, TypeError, RecursionError):
        return None


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and {"path", "label", "error"} <= set(row)
        and all(isinstance(row[name], str | None) for name in ("path", "label", "error"))
    )


def _check(path: Path, had: Sequence[str], inputs: Sequence[str]) -> None:
    same = "give the same PATHs in the same order, or another --output"
    if len(had) > len(inputs):
        raise TLError(
            f"'{path}' has {count(len(had), 'row')}, and there are {count(len(inputs), 'image')}",
            same,
        )
    for number, (one, other) in enumerate(zip(had, inputs, strict=False), start=1):
        if one != other:
            raise TLError(f"row {number:,} of '{path}' is that of '{one}', not of '{other}'", same)
