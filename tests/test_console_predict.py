"""What `tl predict` shows of answers: counts at the end, paths whole, figures aligned."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import pytest

from tl_cli.cli.predict import _sum_up
from tl_cli.console.predict import PredictionTable, explained, show_counts
from tl_cli.console.screen import Screen
from tl_cli.console.terminal import Terminal
from tl_cli.results.explanations import Explanation, Neighbour
from tl_cli.store.prediction_forms import ImagePrediction
from tl_cli.store.prediction_writer import Collected


def terminal(width: int) -> Screen:
    """A screen whose results go to a terminal."""
    screen = Screen()
    screen._out = Terminal(sys.stdout, nullcontext)
    screen._out._force_terminal = True  # without colours
    screen._out.width = width
    return screen


def answer(path: str, label: str, p: float, said: str = "") -> ImagePrediction:
    return ImagePrediction(path, ((label, p),), said or label)


def test_the_counts_are_aligned_and_the_most_frequent_comes_first(capsys):
    show_counts(Screen(), {"sunflower": 1200, "rose": 30, "unsure": 7})
    assert capsys.readouterr().err == "  sunflower  1,200\n  rose          30\n  unsure         7\n"


def test_many_classes_are_counted_together(capsys):
    show_counts(Screen(), {f"class {i}": 100 - i for i in range(40)})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 13
    assert lines[-1].split() == ["28", "other", "classes", "2,086"]


def test_quiet_is_quiet(capsys):
    show_counts(Screen(quiet=True), {"rose": 3})
    assert capsys.readouterr().err == ""


def test_names_that_a_terminal_would_obey_are_text(capsys):
    show_counts(Screen(), {"[bold]\x1b[2J\n": 3})
    assert capsys.readouterr().err == "  [bold]\\x1b[2J\\n  3\n"


def told(sheet: Collected, **more: object) -> dict:
    return sheet.to_json() | {"unsorted": [], "trained_on": 0, **more}


def test_what_is_less_than_half_sure_is_said_where_nothing_was_asked_for(capsys):
    sheet = Collected()
    sheet.write([answer("a.jpg", "rose", 0.4), answer("b.jpg", "rose", 0.9)])
    assert sheet.hesitant == 1
    _sum_up(Screen(), told(sheet), sheet.hesitant, None, None)
    err = capsys.readouterr().err
    assert err.endswith("2 images, 1 less than 50 % sure (--min-confidence 0.5 calls it unsure)\n")
    sheet.write([answer("c.jpg", "rose", 0.2, "unsure")])
    _sum_up(Screen(), told(sheet), 0, None, None)
    assert capsys.readouterr().err.endswith("3 images, 1 unsure\n")
    alone = Collected()
    alone.write([answer("a.jpg", "rose", 0.9)])
    _sum_up(Screen(), told(alone), 0, None, None)
    assert capsys.readouterr().err == "1 image\n"  # there is nothing to count


@pytest.mark.parametrize("width", [40, 80])
def test_where_path_and_answer_do_not_fit_the_answer_has_a_line_of_its_own(capsys, width):
    paths = ["my photos/a rather long name of a picture.jpg", "b.jpg"]
    table = PredictionTable(terminal(width), paths)
    table.write([answer(path, "sunflower", 0.5) for path in paths])
    lines = capsys.readouterr().out.splitlines()
    assert paths[0] in lines[0]
    if width == 40:
        assert lines == [paths[0], "  sunflower 0.500", paths[1], "  sunflower 0.500"]
    else:
        assert [line.index("sunflower") for line in lines] == [len(paths[0]) + 2] * 2


def test_a_pipe_has_one_line_an_image(capsys):
    path = "/a/path/of/more/than/a/hundred/characters" * 4 + "/a.jpg"
    table = PredictionTable(Screen(), [path])
    table.write([answer(path, "sunflower", 0.5)])
    assert capsys.readouterr().out == f"{path}  sunflower 0.500\n"


def test_what_an_image_resembles_is_broken_between_neighbours(capsys):
    near = tuple(Neighbour("x.jpg", f"class number {i}", 0.5) for i in range(4))
    explained(terminal(40), Explanation("a.jpg", "rose", 0.5, neighbours=near))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a.jpg  rose 0.500"
    assert all(len(line) <= 40 for line in lines)
    assert sum("class number" in line and "0.50" in line for line in lines) == len(lines) - 1
