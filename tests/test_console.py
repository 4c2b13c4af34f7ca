"""What the terminal shows while something goes on."""

import pytest
from rich.console import Console

from tl_cli.console import screen
from tl_cli.console.screen import Screen
from tl_cli.results.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    return now


def test_a_stage_that_comes_again_has_a_speed_of_its_own(clock, capsys):
    screen = Screen()
    for at in (0.0, 100.0):
        clock[0] = at
        screen.on_progress(Progress("decode", 0, 20))
        clock[0] = at + 2
        screen.on_progress(Progress("decode", 20, 20))
    ends = [line for line in capsys.readouterr().err.splitlines() if "20/20" in line]
    assert len(ends) == 2
    assert all("  10 images/s" in line for line in ends)


def test_a_bar_that_comes_again_starts_anew(capsys):
    screen = Screen()
    screen.err = Console(force_terminal=True, width=100)
    for _ in range(2):
        screen.on_progress(Progress("decode", 0, 20))
        screen.on_progress(Progress("decode", 20, 20))
    screen.on_progress(Progress("decode", 5, 40))
    [bar] = screen._bars.tasks
    assert (bar.completed, bar.total, bar.finished) == (5, 40, False)
    screen.settle()
