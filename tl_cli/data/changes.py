"""Whether the images of a manifest are still what they were. Decodes none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tl_cli.data import decode
from tl_cli.data.faults import check_regular
from tl_cli.data.manifest import Record
from tl_cli.data.sources import samples
from tl_cli.machine import cores

EVERY = 128  # images between two calls of on_progress


def changed(
    records: Sequence[Record], on_progress: Callable[[int, int], None] = lambda *_: None
) -> list[Record]:
    """Return the records whose file is gone, cannot be read, or has another content by now."""
    different = []
    with ThreadPoolExecutor(cores()) as pool:
        same = pool.map(_is_same, records)
        for done, (record, unchanged) in enumerate(zip(records, same, strict=True), 1):
            if not unchanged:
                different.append(record)
            if done % EVERY == 0 or done == len(records):
                on_progress(done, len(records))
    return different


def _is_same(record: Record) -> bool:
    try:
        if not record.path.startswith(samples.SCHEME):
            check_regular(record.path)
        with decode.opened(record.path) as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    except Exception:  # whatever a file that is gone or damaged raises
        return False
    return digest.hexdigest() == record.digest
