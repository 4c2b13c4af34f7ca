"""Features of images as a file that other programs read: written whole or not at all, no pickles.

Knows nothing of networks.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli import csv_cells
from tl_cli.data.manifest import Record
from tl_cli.errors import TLError
from tl_cli.store.output import check_free, make_writable
from tl_cli.store.run_dir import replacing

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

PATHS = ".paths.csv"
KEYS = ("path", "digest")


def check(output: Path, *, overwrite: bool) -> None:
    """Raise TLError where features cannot be written to such a file; make its folder."""
    if output.suffix.lower() not in WRITERS:
        raise TLError(
            f"what is to be written into '{output}' does not follow from its name",
            f"end it with {', '.join(WRITERS)}",
        )
    if output.suffix.lower() == ".parquet" and not importlib.util.find_spec("pyarrow"):
        raise TLError(
            "parquet is written by pyarrow, which is not installed",
            "pip install pyarrow, or end --output with .npy, .npz or .csv",
        )
    for place in (output, *_beside(output)):
        check_free(place, overwrite=overwrite)
    make_writable(output.parent)


def write(output: Path, records: Sequence[Record], rows: Array) -> Path | None:
    """Write float32 [n, D], a row for each record; return the table of paths where it is apart.

    Raises OSError.
    """
    WRITERS[output.suffix.lower()](output, records, rows)
    return next(iter(_beside(output)), None)


def _beside(output: Path) -> list[Path]:
    return [output.with_suffix(PATHS)] if output.suffix.lower() == ".npy" else []


def _npy(output: Path, records: Sequence[Record], rows: Array) -> None:
    """Write the array, and a table beside it whose lines are its rows."""
    import numpy as np

    [paths] = _beside(output)
    with replacing(paths) as table, replacing(output) as array:
        _csv_to(table, records, [() for _ in records], KEYS)
        with array.open("wb") as file:
            np.save(file, rows, allow_pickle=False)


def _npz(output: Path, records: Sequence[Record], rows: Array) -> None:
    """Write the arrays `embeddings`, `paths` and `digests`."""
    import numpy as np

    with replacing(output) as beside, beside.open("wb") as file:
        paths = np.array([record.path for record in records], "U")
        digests = np.array([record.digest for record in records], "U")
        np.savez(file, embeddings=rows, paths=paths, digests=digests)


def _csv(output: Path, records: Sequence[Record], rows: Array) -> None:
    """Write path, digest and a column for each feature."""
    header = (*KEYS, *(f"f{i}" for i in range(rows.shape[1])))
    with replacing(output) as beside:
        _csv_to(beside, records, (map(_rounded, row) for row in rows.tolist()), header)


def _csv_to(
    file: Path, records: Sequence[Record], more: Iterable[Iterable[object]], header: Sequence[str]
) -> None:
    """Write a table as text; names on disk need not be valid UTF-8, and keep their bytes."""
    with file.open("w", encoding="utf-8", errors="surrogateescape", newline="") as opened:
        opened.write(csv_cells.row(header))
        for record, cells in zip(records, more, strict=True):
            opened.write(csv_cells.row((record.path, record.digest, *cells)))


def _rounded(value: float) -> float:
    """Return a float32 without the digits that float64 adds."""
    return float(f"{value:.8g}")


def _parquet(output: Path, records: Sequence[Record], rows: Array) -> None:
    """Write path, digest and `embedding`, a list of float32.

    Its text is valid UTF-8: bytes of a name that are not are written as \\udcNN.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = [r.path.encode("utf-8", "backslashreplace").decode("utf-8") for r in records]
    flat = pa.array(rows.ravel(), pa.float32())
    table = pa.table(
        {
            "path": pa.array(paths, pa.string()),
            "digest": pa.array([record.digest for record in records], pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, rows.shape[1]),
        }
    )
    with replacing(output) as beside:
        pq.write_table(table, beside)


WRITERS: dict[str, Callable[[Path, Sequence[Record], Array], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
    ".csv": _csv,
}
