"""Text that fits: words, names that stay whole, tables in three shapes."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from terminal import on_terminal, seen
from tl_cli.console.layout import lines, paragraph, table, whole
from tl_cli.console.screen import Screen

HEADER = ("run", "data", "accuracy", "date")
ROWS = [("runs/one", "photos", "90.5 %", "2026-11-25"), ("runs/two 2", "x", "9 %", "2026-11-26")]


def narrow(width: int) -> Screen:
    screen = Screen()
    screen.out.width = width
    return screen


def test_lines_end_between_words_and_names_stay_whole():
    text = f"the run in {whole('my runs/a long name')} is done"
    assert list(lines(text, 20)) == ["the run in", "my runs/a long name", "is done"]
    assert list(lines(text, 20, hanging=2))[1:] == ["  my runs/a long name", "  is done"]
    assert list(lines("", 20)) == [""]


def test_wide_characters_count_twice():
    found = list(lines("花 " * 30, 20))
    assert all(cell_len(line) <= 20 for line in found)
    assert sum(line.count("花") for line in found) == 30


@pytest.mark.parametrize(
    ("width", "shape"),
    [
        (80, ["run         data    accuracy        date",
              "runs/one    photos    90.5 %  2026-11-25",
              "  a remark",
              "runs/two 2  x            9 %  2026-11-26"]),
        (37, ["run        data   accuracy       date",
              "runs/one   photos   90.5 % 2026-11-25",
              "  a remark",
              "runs/two 2 x           9 % 2026-11-26"]),
        (32, ["  data    accuracy        date",
              "runs/one",
              "  photos    90.5 %  2026-11-25",
              "  a remark",
              "runs/two 2",
              "  x            9 %  2026-11-26"]),
        (24, ["runs/one",
              "  data      photos",
              "  accuracy  90.5 %",
              "  date      2026-11-25",
              "  a remark",
              "runs/two 2",
              "  data      x",
              "  accuracy  9 %",
              "  date      2026-11-26"]),
    ],
)  # fmt: skip
def test_a_table_takes_the_shape_that_fits(capsys, width, shape):
    table(narrow(width), HEADER, ROWS, left=(0, 1), remarks=["a remark", ""])
    assert capsys.readouterr().out.splitlines() == shape


def test_markup_in_a_text_is_text(capsys):
    paragraph(narrow(80), "[bold]x[/bold] [link=a]")
    assert capsys.readouterr().out == "[bold]x[/bold] [link=a]\n"


def test_on_a_terminal_a_command_that_is_too_long_stays_one_line_that_can_be_copied():
    command = "tl explain 'my runs/one' '/home/somebody/a folder/with a picture.jpg'"
    program = (
        "from tl_cli.console.screen import Screen\n"
        "from tl_cli.console.layout import paragraph, whole\n"
        f"paragraph(Screen(), 'Next: ' + whole({command!r}))"
    )
    assert seen(on_terminal(program, columns=40)) == ["Next:", command, ""]
