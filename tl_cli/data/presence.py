"""What has become of images since they were scanned: as they were, replaced, gone.

Goes by their content. Decodes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tl_cli.data import digests
from tl_cli.data.faults import Fault
from tl_cli.data.manifest import Record
from tl_cli.data.sources.samples import SCHEME
from tl_cli.machine import cores

SAME, REPLACED, GONE = "same", "replaced", "gone"
EVERY = 128  # images between two calls of on_progress


def state(record: Record) -> str:
    """Return SAME, REPLACED (other content under the name) or GONE (or unreadable).

    An image whose digest was not recorded is SAME if it is there.
    """
    if record.path.startswith(SCHEME):
        return SAME
    try:
        digest = digests.of(record)
    except (OSError, ValueError, Fault):
        return GONE
    return SAME if digest == (record.digest or digest) else REPLACED


def states(records: Sequence[Record]) -> list[str]:
    """Return the state of each record; every file is read once, in threads."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(state, records))


def changed(
    records: Sequence[Record], on_progress: Callable[[int, int], None] = lambda *_: None
) -> list[Record]:
    """Return the records whose file is gone, cannot be read, or has another content by now."""
    different = []
    with ThreadPoolExecutor(cores()) as pool:
        same = pool.map(_is_as_recorded, records)
        for done, (record, unchanged) in enumerate(zip(records, same, strict=True), 1):
            if not unchanged:
                different.append(record)
            if done % EVERY == 0 or done == len(records):
                on_progress(done, len(records))
    return different


def _is_as_recorded(record: Record) -> bool:
    try:
        return digests.of(record) == record.digest
    except Exception:  # whatever a file that is gone or damaged raises
        return False


def lost(states: Sequence[str], what: str) -> str:
    """Return a clause on how many of the ``test images of runs/one`` are not as before.

    "" where all are.
    """
    replaced, gone = states.count(REPLACED), states.count(GONE)
    parts = [f"{_have(replaced)} been replaced under {_their(replaced)}"] if replaced else []
    parts += [f"{_are(gone)} gone"] if gone else []
    if not parts:
        return ""
    number, rest = parts[0].split(" ", 1)
    parts[0] = f"{number} of {len(states):,} {what} {rest}"
    return f"{' and '.join(parts)} since the training"


def _have(n: int) -> str:
    return f"{n:,} {'has' if n == 1 else 'have'}"


def _are(n: int) -> str:
    return f"{n:,} {'is' if n == 1 else 'are'}"


def _their(n: int) -> str:
    return "its name" if n == 1 else "their names"
