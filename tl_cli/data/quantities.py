"""Labels that are numbers: of a quantity, such as a weight, that is predicted as a number. Pure.

A number is written with a point before its decimals, whatever the locale: what `1,5` means is for
whoever wrote it to say. Knows labels alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tl_cli.data.manifest import REGRESSION, Doubt, Manifest, Record
from tl_cli.errors import TLError
from tl_cli.humanize import count, naming, short

VALUE = "value"  # what a quantity is called whose column says no more than "label"
COLUMN = "value:"  # how its column begins in a run's manifest.csv; its name follows
NAMELESS = ("label", "labels", "target", "y", "class", "")
NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
WITH_COMMA = re.compile(r"[-+]?\d*,\d+")  # as half of the world writes decimals
WHOLE = re.compile(r"[-+]?\d+")
# Images a value, below which different numbers are hardly classes: few have enough of one to learn
# it. Whole numbers are classes more often: numbered persons, grades.
FEW_A_DECIMAL, FEW_A_WHOLE = 5, 2
LEAST_DECIMALS, LEAST_WHOLES = 5, 10  # different values
WRITTEN = 0.8  # of the labels, from which on decimals are plainly a measurement
MOST_BINS, BIN = 10, 10  # of a stratified draw: bins, and images a bin at the least
DIGITS = 1e-5  # of its size a quantity varies by, or seven digits (float32) cannot hold it


def name_of(column: str) -> str:
    """Return what a quantity is called by the name of its column."""
    name = column.removeprefix(COLUMN).strip()
    return VALUE if name.casefold() in NAMELESS or name.isdecimal() else name


def valued(listed: Manifest, name: str = VALUE) -> Manifest:
    """Return images whose labels are numbers, as images of a quantity of that name.

    Raises TLError where a label is no number, where all are the same, and where they differ by less
    than a network's seven digits hold.
    """
    records = numbers(listed)
    values = [value(record) for record in records]
    low, high = min(values, default=0.0), max(values, default=0.0)
    if 0 < high - low < DIGITS * max(abs(low), abs(high)):
        raise TLError(
            f"'{Path(listed.source).name}': `{name}` goes from {low!r} to {high!r}, and a network "
            "computes with seven digits",
            f"take a constant such as {low:g} off all of them",
        )
    return replace(listed, classes=(name,), records=records, task=REGRESSION)


def numbers(listed: Manifest) -> tuple[Record, ...]:
    """Return images with their numbers in one form. Raises TLError where a label is none."""
    wrong = [r for r in listed.records if not NUMBER.fullmatch(r.label) or _is_endless(r.label)]
    if wrong:
        raise _no_numbers(listed, wrong)
    return tuple(replace(r, label=_text(float(r.label))) for r in listed.records)


def value(record: Record) -> float:
    """Return the number that a record is labelled with."""
    return float(record.label)


def different(records: Sequence[Record]) -> int:
    """Return how many different numbers there are."""
    return len({value(record) for record in records})


def is_plain(labels: Sequence[str]) -> bool:
    """Return whether labels are plainly a measurement: nearly all of them decimals, few alike."""
    if not labels or not all(map(NUMBER.fullmatch, labels)):
        return False
    written = sum(not WHOLE.fullmatch(label) for label in labels)
    return _are_few(labels, {float(label) for label in labels}) and written >= WRITTEN * len(labels)


def doubt(labels: Sequence[str]) -> Doubt | None:
    """Return what to ask where numbers may be a quantity, or classes; None where they are classes.

    They look like a quantity where few images have the same one.
    """
    if not labels or not all(map(_is_written, labels)):
        return None
    values = sorted({float(label.replace(",", ".")) for label in labels})
    if not _are_few(labels, values):
        return None
    comma = any(map(WITH_COMMA.fullmatch, labels))
    points = ", with points for its commas" if comma else ""
    return Doubt(
        f"the labels look like a quantity: {len(values):,} different numbers on "
        f"{count(len(labels), 'image')}, from {values[0]:g} to {values[-1]:g}",
        f"to predict a number, say --task regression{points}; where each number is a class of its "
        "own, say --task classification",
    )


def notes(labels: Sequence[str]) -> Iterator[str]:
    """Yield what to say of whole numbers that are taken for classes, and are many."""
    whole = labels and all(map(WHOLE.fullmatch, labels))
    if whole and (values := len(set(map(int, labels)))) > LEAST_WHOLES:
        yield (
            f"{values:,} different whole numbers are taken for classes (--task regression: one "
            "number is predicted)"
        )


def bins(values: Sequence[float]) -> list[int]:
    """Return the bin of each number, by quantiles: what a draw is stratified by.

    Ten bins, or fewer of ten images each; equal numbers are in one bin.
    """
    order = sorted(values)
    many = max(1, min(MOST_BINS, len(order) // BIN))
    edges = [order[len(order) * i // many] for i in range(1, many)]
    return [bisect_right(edges, each) for each in values]


def binned(manifest: Manifest) -> Manifest:
    """Return images whose labels are the bins of their numbers, in the same order."""
    labels = list(map(str, bins([value(record) for record in manifest.records])))
    records = (replace(r, label=b) for r, b in zip(manifest.records, labels, strict=True))
    return replace(manifest, classes=tuple(sorted(set(labels)))).with_records(records)


def _are_few(labels: Sequence[str], values: Sequence[float] | set[float]) -> bool:
    """Return whether few images have the same number."""
    whole = all(map(WHOLE.fullmatch, labels))
    least, few = (LEAST_WHOLES, FEW_A_WHOLE) if whole else (LEAST_DECIMALS, FEW_A_DECIMAL)
    return len(values) >= least and len(labels) < few * len(values)


def _is_written(label: str) -> bool:
    return bool(NUMBER.fullmatch(label) or WITH_COMMA.fullmatch(label))


def _is_endless(label: str) -> bool:
    return abs(float(label)) > 1e30  # `1e999` is infinite, and what is larger is none in float32


def _no_numbers(listed: Manifest, wrong: Sequence[Record]) -> TLError:
    n = count(len(listed.records), "label")
    commas = [r.label for r in wrong if WITH_COMMA.fullmatch(r.label)]
    hint = "correct these labels, or leave the images out; nan and inf are no numbers either"
    if commas:
        hint = f"write decimals with a point: {commas[0].replace(',', '.')} for {commas[0]}"
    named = naming(f"{r.label!r} ({short(r.path)})" for r in wrong)
    be = "is" if len(wrong) == 1 else "are"
    return TLError(
        f"'{Path(listed.source).name}': {len(wrong):,} of {n} {be} no number: {named}", hint
    )


def _text(number: float) -> str:
    whole = number.is_integer() and abs(number) < 1e15
    return str(int(number)) if whole else repr(number)
