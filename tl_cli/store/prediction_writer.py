"""What takes answers as they come: memory, standard output, a file.

Such a file holds whole rows at any moment and is gone on with. Knows nothing of networks.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from tl_cli.errors import TLError
from tl_cli.humanize import count, printable
from tl_cli.store.output import writing_to
from tl_cli.store.prediction_forms import Format, ImagePrediction, LabelsPrediction, format_of
from tl_cli.store.prediction_origin import PredictionOrigin

UNSURE, UNKNOWN = "unsure", "unknown"
NO_LABEL = "no label"  # how an image is counted that none is said of
HESITANT = 0.5  # a best guess below it is worth a word, whatever was asked for
JSON_START = '{"path": '
BYTES = ("utf-8", "surrogateescape")  # names on disk need not be valid UTF-8


def _names(answer: ImagePrediction) -> Sequence[str]:
    """Return the labels of an answer that are counted."""
    if isinstance(answer, LabelsPrediction) and not answer.is_unknown:
        return answer.labels or ((NO_LABEL,) if answer.guesses else ())
    return (answer.label,) if answer.label else ()


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
        self.labels.update(name for answer in answers for name in _names(answer))
        self.unknown += sum(answer.is_unknown for answer in answers)
        self.sizes.update(len(answer.candidates) for answer in answers if answer.candidates)
        self.hesitant += sum(
            a.guesses[0][1] < HESITANT
            for a in answers
            if a.guesses and not isinstance(a, LabelsPrediction)
        )

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
    several: Sequence[str] = ()  # the classes, where an image may have several labels
    sets: bool = False
    number: bool = False  # whether a number is said of each image
    on_screen = True

    def take(self, answers: Sequence[ImagePrediction]) -> None:
        shown = map(_shown, answers) if sys.stdout.isatty() else answers
        form = format_of(self.form, self.several, sets=self.sets, number=self.number)
        rows = "".join(form.row(answer, self.top) for answer in shown)
        header = "" if self.rows else form.header(self.top)
        sys.stdout.buffer.write((header + rows).encode(*BYTES))
        sys.stdout.buffer.flush()  # raises where nobody reads any more


def _shown(answer: ImagePrediction) -> ImagePrediction:
    """Return an answer as a terminal takes it, which obeys what a program only reads."""
    guesses = answer.guesses
    if not isinstance(answer, LabelsPrediction):  # whose names are those of the columns
        guesses = tuple((printable(name), p) for name, p in guesses)
    return replace(
        answer,
        path=printable(answer.path),
        guesses=guesses,
        label=printable(answer.label),
        error=printable(answer.error),
        candidates=tuple(map(printable, answer.candidates)),
    )


@dataclass
class PredictionFile(PredictionSink):
    """A file of answers, open at its end."""

    file: BinaryIO = field(kw_only=True)
    path: Path = field(kw_only=True)
    form: Format = field(kw_only=True)
    top: int = field(kw_only=True)

    def take(self, answers: Sequence[ImagePrediction]) -> None:
        """Append the rows: all of them or, where the disk is full or the user stops, none."""
        self._append("".join(self.form.row(answer, self.top) for answer in answers))

    def begin(self) -> None:
        """Write the header."""
        self._append(self.form.header(self.top))

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
    several: Sequence[str] = (),
    sets: bool = False,
    number: bool = False,
) -> Iterator[PredictionFile]:
    """Open a file for the answers to `inputs`; with `resume`, behind the rows that it has.

    `several`: the classes, where an image may have several labels.

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
        chosen = format_of(form, several, sets=sets, number=number)
        sheet = PredictionFile(file=file, path=path, form=chosen, top=top)
        _go_on(sheet, inputs, origin, batch)
        yield sheet
        os.fsync(file.fileno())


def _go_on(
    sheet: PredictionFile, inputs: Sequence[str], origin: PredictionOrigin, batch: int
) -> None:
    """Cut off a row that is not whole, count those that are, and check that they belong here."""
    sheet.file.seek(0)
    content = sheet.file.read().decode(*BYTES)
    header = sheet.form.header(sheet.top)
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
    sheet.labels.update(row["label"] for row in rows if row.get("label"))
    sheet.unknown = sum(map(_is_unknown, rows))


def _is_unknown(row: dict[str, Any]) -> bool:
    """Return whether a row that was read back is of an image that is unlike all others."""
    if "value" in row:  # a number is said of any image
        return float(row["unknown_score"] or 0) > 1
    return bool(row.get("unknown_score")) and row.get("label") == UNKNOWN


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
        and {"path", "error"} <= set(row)
        and bool({"label", "labels", "value"} & set(row))
        and all(isinstance(row.get(name), str | None) for name in ("path", "label", "error"))
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
