"""Which images must not part: those of one group, exact copies, and near copies. Pure.

What a head has seen of a patient, or of a photo's edited copy, it knows again: held out without
them, an image is no test. Every split and every fold keeps them together by the keys made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tl_cli.data.manifest import Record

PATIENT = "patient "  # how a group begins that the file itself names (see dicom.py)
MOST = 0.5  # of all images: no patient has so many of a data set


def content(record: Record) -> str:
    """Return what a record is known by: the digest of its content, or its path without one."""
    return record.digest or record.path


def named_by_files(records: Sequence[Record]) -> list[Record]:
    """Return records whose files (DICOM) name a patient, less a name that most of them share.

    That is what removing names has left ("ANONYMOUS"), and would make one group of everything.
    """
    seen = Counter(record.group for record in records if record.group.startswith(PATIENT))
    shared = {name for name, images in seen.items() if images > len(records) * MOST}
    return [replace(r, group="") if r.group in shared else r for r in records]


def patients(records: Iterable[Record]) -> int:
    """Return how many patients the files name."""
    return len({r.group for r in records if r.group.startswith(PATIENT)})


def keys(records: Sequence[Record]) -> list[str]:
    """Return a key for each record; those that must not part have it in common.

    Joined by union-find over the table's group, the digest and the look-alike key (see Record). The
    key is the name of a group where there is one, so it stays when an image of the group goes, else
    a look-alike key, else a digest.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for record in records:
        for name in _names(record):
            low, high = sorted((root(name), root(content(record))))
            parent[low] = high
    return [root(content(record)) for record in records]


def numbers(records: Sequence[Record]) -> list[int] | None:
    """Return the number of each record's group, from 0 in the order of the records.

    None where there is nothing to keep together (every image stands alone) and where nothing can be
    held out (all images are one group).
    """
    number: dict[str, int] = {}
    numbered = [number.setdefault(key, len(number)) for key in keys(records)]
    return numbered if 1 < len(number) < len(numbered) else None


def _names(record: Record) -> Iterable[str]:
    """Yield what a record shares with others; named so that a group sorts above the rest."""
    if record.near:
        yield f"~alike {record.near}"
    if record.group:
        yield f"~group {record.group}"
