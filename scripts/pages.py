"""The tables of docs/, each between its marks, as the script that measures it writes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def put(page: str, table: str, lines: Iterable[str]) -> None:
    """Write lines between `<!-- table -->` and `<!-- /table -->` of a page of docs/."""
    path, begin, end = DOCS / page, f"<!-- {table} -->\n", f"<!-- /{table} -->\n"
    before, rest = path.read_text().split(begin)
    path.write_text(before + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1])
