"""Which images of a run can still be worked with, and what to say of the others.

An image is its content: one that is gone, or has been replaced under its name, is as good as there
where its pixels are kept. Knows nothing of what is done with them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tl_cli.data import pixel_cache, presence
from tl_cli.data.csv_io import read_csv
from tl_cli.data.manifest import Record
from tl_cli.data.presence import GONE, REPLACED, SAME
from tl_cli.errors import TLError
from tl_cli.results.progress import Note, OnProgress
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir


@dataclass(frozen=True)
class RunImages:
    """The records that can be worked with, in order, and what has become of all that there were."""

    what: str  # "test images of runs/one"
    records: tuple[Record, ...]
    states: Sequence[str]

    @property
    def left_out(self) -> int:
        return len(self.states) - len(self.records)

    @property
    def all_gone(self) -> bool:
        return set(self.states) <= {GONE}

    @property
    def note(self) -> str:
        """What there is to say; "" where all are as they were."""
        lost = presence.lost(self.states, self.what)
        if not lost:
            return ""
        kept = len(self.states) - list(self.states).count(SAME) - self.left_out
        ends = [f"{kept:,} taken as before, from what is kept"] if kept else []
        ends += [f"{self.left_out:,} left out"] if self.left_out else []
        return f"{lost}: {', '.join(ends)}"

    def require(self, hint: str) -> None:
        """Raise TLError, with this hint, where none is left."""
        if not self.records:
            lost = presence.lost(self.states, self.what) or f"there are no {self.what}"
            raise TLError(f"{lost}, and nothing of them is kept", hint)


def find(
    records: Sequence[Record],
    what: str,
    size: int,
    *,
    answered: Collection[str] = (),
    shown: bool = False,
) -> RunImages:
    """Return which records of a manifest can be worked with.

    `size`: the side, in pixels, at which kept pixels will do. `answered`: digests of images whose
    pixels are not asked for. `shown`: the files are shown to people, so one whose content is
    another now will not do.
    """
    kept = {*answered, *kept_pixels(size)}
    now = presence.states(records)
    usable = tuple(
        record
        for record, state in zip(records, now, strict=True)
        if state == SAME or (record.digest in kept and not (shown and state == REPLACED))
    )
    return RunImages(what, usable, now)


def of_training(run: RunDir, size: int, answered: Collection[str]) -> RunImages:
    """Return which of a run's training images can be worked with and shown: see `find`.

    Raises TLError where the run's manifest is gone.
    """
    records = read_csv(run / run_dir.MANIFEST).of("train")
    what = f"training images of {run.path}"
    return find(records, what, size, answered=answered, shown=True)


def kept_pixels(size: int) -> Collection[str]:
    """Return the digests of the images whose pixels are kept at that size."""
    with contextlib.suppress(OSError):  # a cache that cannot be used holds nothing
        return pixel_cache.table(size).index.keys()
    return ()


def tell(images: RunImages, on_progress: OnProgress) -> None:
    """Say what is no longer as it was."""
    if images.note:
        on_progress(Note(images.note, warning=True))
