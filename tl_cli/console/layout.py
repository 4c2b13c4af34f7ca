"""Text that fits a screen: lines broken between words alone, tables that are stacked where narrow.

Nothing is cut off, and nothing ends in blanks. Knows widths, and nothing of what is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from tl_cli.console.screen import Screen
from tl_cli.humanize import printable

HELD = "\u00a0"  # a blank at which no line ends; `printable` leaves none of the user's own
GAPS = (2, 1)  # blanks between two columns, the first that fits


def whole(text: str) -> str:
    """Return a name as one word: printable, and never broken, whatever blanks it has."""
    return printable(text).replace(" ", HELD)


def lines(text: str, width: int, *, hanging: int = 0) -> Iterator[str]:
    """Yield the lines of a paragraph, at most so many cells wide; a longer word has one to itself.

    `hanging`: blanks before all but the first.
    """
    line = ""
    for word in text.split(" "):
        if line.strip() and cell_len(line) + 1 + cell_len(word) > width:
            yield line.replace(HELD, " ")
            line = " " * hanging + word
        else:
            line = f"{line} {word}" if line.strip() else line + word
    yield line.replace(HELD, " ")


def paragraph(
    screen: Screen, text: str, *, indent: int = 0, hanging: int = 0, style: str = ""
) -> None:
    """Print a text below any bars; names in it are `whole`. `hanging`: of what follows line one."""
    out = screen.out
    for line in lines(text, out.width - indent, hanging=hanging):
        print_line(screen, Text(" " * indent + line, style))


def print_line(screen: Screen, line: Text) -> None:
    """Print one line as it is, however long."""
    line.rstrip()
    screen.out.print(line, highlight=False, no_wrap=True, overflow="ignore", crop=False)


def heading(screen: Screen, text: str) -> None:
    """Print a blank line and a heading."""
    screen.out.print()
    paragraph(screen, text, style="bold")


def table(
    screen: Screen,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[int] = (0,),
    indent: int = 0,
    remarks: Sequence[str] = (),
) -> None:
    """Print rows of names and figures, printable; where they are too wide, a row in several lines.

    `left`: the columns that are flush left; figures are flush right. `remarks`: a paragraph below
    each row, whose names are `whole`; "" for none.
    """
    room = screen.out.width - indent
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    gap, apart = _shape(widths, room)
    for number, row in enumerate((header, *rows)):
        style = "" if number else "dim"
        if gap and apart:
            if number:
                print_line(screen, Text(" " * indent + row[0]))
            lead = " " * (indent + 2)
            _print_row(screen, row[1:], widths[1:], [i - 1 for i in left], lead, gap, style)
        elif gap:
            _print_row(screen, row, widths, left, " " * indent, gap, style)
        elif number:
            _print_stacked(screen, header, row, indent)
        if number and remarks and remarks[number - 1]:
            paragraph(screen, remarks[number - 1], indent=indent + 2, hanging=2)


def _shape(widths: Sequence[int], room: int) -> tuple[int, bool]:
    """Return the blanks between columns, and whether the first one has a line to itself.

    No blanks where even the others do not fit side by side.
    """
    shapes = ((gap, apart) for apart in (False, True) for gap in GAPS)
    for gap, apart in shapes:
        shown = widths[1:] if apart else widths
        if 2 * apart + sum(shown) + gap * (len(shown) - 1) <= room and len(shown) > 1:
            return gap, apart
    return 0, False


def _print_row(
    screen: Screen,
    row: Sequence[str],
    widths: Sequence[int],
    left: Collection[int],
    lead: str,
    gap: int,
    style: str = "",
) -> None:
    cells = []
    for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
        pad = " " * (width - cell_len(cell))
        cells.append(cell + pad if i in left else pad + cell)
    print_line(screen, Text(lead + (" " * gap).join(cells), style))


def _print_stacked(screen: Screen, header: Sequence[str], row: Sequence[str], indent: int) -> None:
    """Print a row as its name and, below it, a line for each figure that it has."""
    names = max(map(cell_len, header[1:]), default=0)
    print_line(screen, Text(" " * indent + row[0]))
    for name, cell in zip(header[1:], row[1:], strict=True):
        if cell:
            lead = " " * (indent + 2) + name + " " * (names - cell_len(name) + 2)
            print_line(screen, Text.assemble((lead, "dim"), cell))
