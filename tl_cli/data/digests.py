"""The digest of an image file's bytes: what names an image wherever something is kept of it.

Knows nothing of pixels.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager

from tl_cli.data import packed
from tl_cli.data.decode import opened
from tl_cli.data.faults import check_regular
from tl_cli.data.manifest import Record
from tl_cli.data.scan_cache import state_of
from tl_cli.data.sources import samples
from tl_cli.errors import TLError
from tl_cli.humanize import short

CHANGED_SINCE_THE_SCAN = "it changed since the scan: run the command again"


def of_file(file: io.BufferedReader | io.BytesIO) -> str:
    """Return the digest of what is left to read of an open file, 32 hexadecimal digits."""
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def of(record: Record) -> str:
    """Return the digest that a record's file has now; raises what opening it does, or Fault."""
    if not record.path.startswith(samples.SCHEME):
        check_regular(packed.file_of(record.path))
    with opened(record.path) as file:
        return of_file(file)


@contextmanager
def unchanged(record: Record) -> Iterator[None]:
    """Have a file read that has the bytes of the record's digest, from first to last.

    Raises TLError where it has others: nothing may be kept of them under that digest. Where it
    cannot be read, raises what `opened` and `check_regular` do.
    """
    if record.path.startswith(samples.SCHEME):
        yield
        return
    before = state_of(record.path)
    same = of(record) == record.digest
    if same:
        yield
    if not same or state_of(record.path) != before:
        raise TLError(f"{short(record.path)} has changed", CHANGED_SINCE_THE_SCAN)
