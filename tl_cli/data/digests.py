"""The digest of an image file's bytes: what names an image wherever something is kept of it.

Knows nothing of pixels.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tl_cli.data.decode import opened
from tl_cli.data.faults import check_regular
from tl_cli.data.manifest import Record
from tl_cli.data.scan_cache import ScanCache, state_of
from tl_cli.data.sources import samples
from tl_cli.errors import TLError
from tl_cli.humanize import short
from tl_cli.machine import cores

CHANGED_SINCE_THE_SCAN = "it changed since the scan: run the command again"


def of_file(file: io.BufferedReader | io.BytesIO) -> str:
    """Return the digest of what is left to read of an open file, 32 hexadecimal digits."""
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


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
    check_regular(record.path)
    with opened(record.path) as file:
        same = of_file(file) == record.digest
    if same:
        yield
    if not same or state_of(record.path) != before:
        raise TLError(f"{short(record.path)} has changed", CHANGED_SINCE_THE_SCAN)


def renewed(records: Sequence[Record], cache: Path | None) -> tuple[tuple[Record, ...], int]:
    """Return the records with the digests that their files have now, and how many have changed.

    What has not changed since a scan is not read again. A file that cannot be read keeps the
    digest it had, under which something may be kept of it.
    """
    states = [state_of(record.path) for record in records]
    with ScanCache(cache) as memory, ThreadPoolExecutor(cores()) as pool:
        known = memory.recall([state for state in states if state])

        def digest(i: int) -> str:
            state = states[i]
            return known[state].digest if state in known else _digest(records[i])

        fresh = list(pool.map(digest, range(len(records))))
    now = tuple(replace(r, digest=digest) for r, digest in zip(records, fresh, strict=True))
    return now, sum(r.digest != digest for r, digest in zip(records, fresh, strict=True))


def _digest(record: Record) -> str:
    try:
        if not record.path.startswith(samples.SCHEME):
            check_regular(record.path)
        with opened(record.path) as file:
            return of_file(file)
    except Exception:  # a fault of the file, or whatever a system says of it
        return record.digest
