"""What a table's labels are: classes, several labels an image, a quantity. Pure.

Knows texts alone. What is not plain is a question to whoever wrote the table, never a guess.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from tl_cli.data.manifest import Doubt, Manifest
from tl_cli.humanize import count

SEPARATORS = (";", "|", ",")
NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")
WHOLE = re.compile(r"[-+]?\d+")
# Images a value, below which different numbers are hardly classes: few have enough of one to learn
# it. Whole numbers are classes more often: numbered persons, grades.
FEW_A_DECIMAL, FEW_A_WHOLE = 5, 2
LEAST_DECIMALS, LEAST_WHOLES = 5, 10  # different values


def asked(manifest: Manifest) -> Doubt | None:
    """Return what must be asked about the labels of a table; None where they are plain classes."""
    labels = [r.label for r in manifest.records]
    return _quantity(labels) or _lists(labels)


def parts(label: str, separator: str) -> list[str]:
    """Return the names in a cell, without those that are empty."""
    return [name for piece in label.split(separator) if (name := piece.strip())]


def is_number(label: str) -> bool:
    """Return whether a label is a number, with a point or a comma before its decimals."""
    return NUMBER.fullmatch(label.strip()) is not None


def number(label: str) -> float:
    """Return the number that a label is. Raises ValueError where it is none."""
    return float(label.strip().replace(",", "."))


def separators(labels: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield what parts some labels into names that recur, with the images that have several names.

    Recur: some name in a combination occurs in another label, too. A comma that is always followed
    by a blank is one in a name ('Doe, Jane') unless all names recur.
    """
    different = dict.fromkeys(labels)
    for separator in SEPARATORS:
        combined = [label for label in different if len(parts(label, separator)) > 1]
        if not combined:
            continue
        within = Counter(name for label in different for name in {*parts(label, separator)})
        recurring = [within[name] > 1 for label in combined for name in parts(label, separator)]
        prose = separator == "," and all(", " in label for label in combined)
        if all(recurring) if prose else any(recurring):
            own = set(combined)
            yield separator, sum(label in own for label in labels)


def _lists(labels: Sequence[str]) -> Doubt | None:
    for separator, n in separators(labels):
        example = next(label for label in labels if len(parts(label, separator)) > 1)
        return Doubt(
            f"the labels look like lists: {n:,} of {count(len(labels), 'image')} "
            f"{'has' if n == 1 else 'have'} several, parted by '{separator}', such as {example!r}",
            "give each image one label; or, where each combination is a class of its own, say "
            "--task classification",
        )
    return None


def _quantity(labels: Sequence[str]) -> Doubt | None:
    if not labels or not all(map(is_number, labels)):
        return None
    values = sorted({number(label) for label in labels})
    whole = all(WHOLE.fullmatch(label) for label in labels)
    least, few = (LEAST_WHOLES, FEW_A_WHOLE) if whole else (LEAST_DECIMALS, FEW_A_DECIMAL)
    if len(values) < least or len(labels) >= few * len(values):
        return None
    return Doubt(
        f"the labels look like a quantity: {len(values):,} different numbers on "
        f"{count(len(labels), 'image')}, from {values[0]:g} to {values[-1]:g}",
        "make a few classes of them, such as low and high; or, where each number is a class of its "
        "own, say --task classification",
    )
