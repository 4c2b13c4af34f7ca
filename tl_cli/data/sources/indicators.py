"""Labels of a table that stand in columns of 0 and 1, one a label, or in cells that are lists.

Pure; opens no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tl_cli.data.manifest import JOINT
from tl_cli.data.sources.headers import column

YES = (1, True, "1", "1.0", "true", "True", "TRUE")
NO = (0, False, "0", "0.0", "false", "False", "FALSE")
LEAST = 2  # columns; a single one of 0 and 1 is a class


def columns(rows: Sequence[tuple[int, Mapping[str, Any]]], names: Mapping[str, str]) -> list[str]:
    """Return the columns that hold nothing but 0 and 1, where there is no column of labels.

    `names`: what the table calls our columns. None where there are fewer than two.
    """
    if not rows:
        return []
    first = rows[0][1]
    own = {column(theirs, first) for theirs in names.values()}
    if column(names["label"], first) in first:
        return []
    flags = [
        name
        for name in first
        if name not in own and all(row.get(name) in YES + NO for _, row in rows)
    ]
    return flags if len(flags) >= LEAST else []


def present(row: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """Return the labels whose column holds a 1."""
    return [name for name in labels if row[name] in YES]


def joined(names: Sequence[Any]) -> str:
    """Return the names as one label. Raises ValueError for what is no name, or cannot be joined."""
    for name in names:
        if not isinstance(name, str | int) or isinstance(name, bool) or not str(name).strip():
            raise ValueError(f"the label {name!r} is no name")
        if JOINT in str(name):
            raise ValueError(f"the label {name!r} holds '{JOINT}', which parts labels")
    return JOINT.join(sorted({str(name).strip() for name in names}))
