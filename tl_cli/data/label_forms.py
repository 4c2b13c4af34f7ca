"""What a table's labels are: classes, several labels an image, a quantity. Pure.

Knows labels alone. What is not plain is a question to whoever wrote the table, never a guess.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tl_cli.data import quantities
from tl_cli.data.manifest import CLASSIFICATION, JOINT, MULTILABEL, REGRESSION, Doubt, Manifest
from tl_cli.errors import TLError
from tl_cli.humanize import count

AUTO = "auto"  # the labels say by themselves what they are
SEPARATORS = (";", "|", ",")
NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")


def formed(listed: Manifest, task: str, quantity: str = quantities.VALUE) -> Manifest:
    """Return a table's images with labels of the form that is meant. Raises TLError for bad ones.

    `task`: classification, multilabel, regression, or "auto": as the labels look. Several names in
    a cell are several labels where each of them occurs in another label, too; where only some do,
    or where the labels may be a quantity, `doubt` asks. Decimals on nearly every image, few of them
    alike, are one. `quantity`: what it is called.
    """
    if task == CLASSIFICATION or listed.task == MULTILABEL:
        return listed
    if task == REGRESSION:
        return quantities.valued(listed, quantity)
    labels = [r.label for r in listed.records]
    if task == MULTILABEL:
        found = [(n, separator) for separator in SEPARATORS if (n := _combined(labels, separator))]
        return _several(listed, max(found, key=lambda each: each[0])[1] if found else JOINT)
    if quantities.is_plain(labels):
        return quantities.valued(listed, quantity).with_notes(
            f"the labels are decimals, so a number is predicted, `{quantity}` (--task "
            "classification: each number is a class)"
        )
    if doubt := quantities.doubt(labels):
        return replace(listed, doubt=doubt)
    for separator, n, plain in separators(labels):
        if not plain:
            return replace(listed, doubt=_asked(labels, separator, n))
        return _several(listed, separator).with_notes(
            f"{_share(n, labels)} several labels, parted by '{separator}' (--task classification: "
            "a class of each combination)"
        )
    return listed.with_notes(*quantities.notes(labels))


def _several(listed: Manifest, separator: str) -> Manifest:
    """Return images whose labels are parted by a separator, as images of several labels."""
    bad = [r.label for r in listed.records if JOINT in r.label.replace(separator, "")]
    if bad:
        raise TLError(
            f"the label {bad[0]!r} holds both '{separator}' and '{JOINT}'",
            f"part all labels by '{JOINT}'",
        )
    records = tuple(
        replace(r, label=JOINT.join(sorted({*parts(r.label, separator)}))) for r in listed.records
    )
    return replace(listed, records=records, task=MULTILABEL)


def _combined(labels: Sequence[str], separator: str) -> int:
    return sum(len(parts(label, separator)) > 1 for label in labels)


def parts(label: str, separator: str) -> list[str]:
    """Return the names in a cell, without those that are empty."""
    return [name for piece in label.split(separator) if (name := piece.strip())]


def is_number(label: str) -> bool:
    """Return whether a label is a number, with a point or a comma before its decimals."""
    return NUMBER.fullmatch(label.strip()) is not None


def separators(labels: Sequence[str]) -> Iterator[tuple[str, int, bool]]:
    """Yield what parts some labels into names that recur, and the images that have several names.

    Recur: some name in a combination occurs in another label, too; and whether all of them do. A
    comma that is always followed by a blank is one in a name ('Doe, Jane') unless all do.
    """
    different = dict.fromkeys(labels)
    for separator in SEPARATORS:
        combined = [label for label in different if len(parts(label, separator)) > 1]
        if not combined:
            continue
        within = Counter(name for label in different for name in {*parts(label, separator)})
        recurring = [within[name] > 1 for label in combined for name in parts(label, separator)]
        comma = separator == ","
        prose = comma and all(", " in label for label in combined)
        decimal = comma and all(map(is_number, different))  # or is it 1 and 5?
        if all(recurring) or (any(recurring) and not prose):
            yield separator, _combined(labels, separator), all(recurring) and not decimal


def _asked(labels: Sequence[str], separator: str, n: int) -> Doubt:
    example = next(label for label in labels if len(parts(label, separator)) > 1)
    return Doubt(
        f"the labels look like lists: {_share(n, labels)} several, parted by '{separator}', such "
        f"as {example!r}",
        "where an image may have several labels, say --task multilabel; where each combination is "
        "a class of its own, --task classification",
    )


def _share(n: int, labels: Sequence[str]) -> str:
    return f"{n:,} of {count(len(labels), 'image')} {'has' if n == 1 else 'have'}"
