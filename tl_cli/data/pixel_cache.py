"""Decoded images kept between runs: uint8 rows of size x size x 3, one table a size.

The scan and the store of the pipeline write them, whichever decodes an image first. Knows nothing
of data sets: a row belongs to the content of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tl_cli.data import decode
from tl_cli.store import about_entry, cache, cache_folder
from tl_cli.store.rows import ROWS_VERSION, Table

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from tl_cli.store.rows import Array

KIND = "images"
FLUSH = 16_000_000  # bytes of pixels between two writes; memory that is used again is faster


def table(size: int) -> Table:
    """Return the table of images squashed to size x size. Raises OSError where there is no cache.

    A row is what `images.squash(images.open_rgb(record, size), size)` gives.
    """
    key = f"{size}px-{decode.version()}-{ROWS_VERSION}"
    return Table(cache_folder.kind_folder(KIND) / key, size * size * 3, "uint8")


class PixelWriter:
    """Takes what a scan decodes, where there is room for all of its images; else it keeps nothing.

    `least_side`: pixels of the shorter side below which an image is not kept. An error of the disk,
    or another process that is writing, only ends the keeping.
    """

    def __init__(self, size: int, least_side: int, images: int) -> None:
        self.size, self.least_side = size, least_side
        self._pending: dict[str, Array] = {}
        self._table: Table | None = None
        if not cache_folder.takes_more():
            return
        try:
            found, bound = table(size), cache.bound()
        except OSError as error:
            cache_folder.trouble(error)
            return
        need = images * found.row_bytes
        if need <= bound / 2 and len(found.index) * found.row_bytes + need <= bound:
            self._table = found

    def wants(self, width: int, height: int) -> bool:
        """Tell whether an image of these sides is to be decoded at `size`."""
        return self._table is not None and min(width, height) >= self.least_side

    def take(self, digest: str, square: Picture) -> None:
        """Take an image, size x size, to be written; from any thread."""
        import numpy as np

        self._pending[digest] = np.asarray(square).reshape(1, -1)

    def write(self, at_least: int = FLUSH) -> None:
        """Write what was taken, if it is so many bytes; from one thread."""
        table = self._table
        if table is None or not self._pending:
            self._pending.clear()
        elif len(self._pending) * table.row_bytes >= at_least:
            try:
                self._append(table)
            except BlockingIOError:
                self._table = None
            except OSError as error:
                self._table = None
                cache_folder.trouble(error)

    def close(self, data: Sequence[str] = ()) -> None:
        """Write what is left, note whose it is, and hold the cache to its bound."""
        self.write(0)
        if self._table:
            about_entry.note(self._table.folder, data)
            cache.tidy(keep=[self._table.folder])

    def _append(self, table: Table) -> None:
        import numpy as np

        with table.writing(wait=False) as append:
            # other threads go on adding to it
            taken = [self._pending.popitem() for _ in range(len(self._pending))]
            new = {digest: row for digest, row in taken if digest not in table.index}
            if new:
                append(list(new), np.concatenate(list(new.values())))
