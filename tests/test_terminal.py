"""What stands on a terminal of so many columns, from a program in a pseudo-terminal."""

import re
import subprocess
import sys

import pytest

from terminal import ROOT, on_terminal, seen
from tl_cli.console.evaluate import show_confusion
from tl_cli.console.screen import Screen
from tl_cli.results.evaluation import ClassRow, Evaluation

BUSY = """
import sys, time
from tl_cli.console import streams
from tl_cli.quiet import quiet
streams.install()
from tl_cli.cli.session import opened_screen
from tl_cli.results.progress import Note, Progress, begun
with opened_screen(verbose=False) as screen:
    with quiet():  # as where the framework loads
        time.sleep(0.4)
    screen.paragraph("[bold]found[/]: some images")
    screen.busy("Loading something")
    time.sleep(0.3)
    for i in range(1, 6):
        screen.on_progress(Progress(f"epoch {i}/5", 10, 10))
        time.sleep(0.15)
    screen.note("a word in between")
    time.sleep(0.15)
    screen.whole("[link=file:///a/report.html]file:///a/report.html[/link]", label="  Report  ")
"""
LEFT = ["found: some images", "a word in between", "  Report  file:///a/report.html", ""]


def test_what_goes_on_is_seen_while_it_does_and_gone_in_the_end():
    written = on_terminal(BUSY)
    assert seen(written) == LEFT
    for said in ("Starting", "Loading something", "Training, epoch 5 of 5", "100 %"):
        assert said in written
    assert "\x1b]8;" in written  # a terminal that knows links has one
    assert "\x1b[32m" in written


def test_without_colours_there_are_none():
    written = on_terminal(BUSY, NO_COLOR="1")
    assert seen(written) == LEFT
    assert not re.search(r"\x1b\[[\d;]*3\dm", written)
    assert "█" in written


def test_a_narrow_terminal_is_never_overrun():
    written = on_terminal(BUSY, columns=30)
    assert seen(written)[:2] == LEFT[:2]
    drawn = [
        line for line in re.split(r"\x1b\[2K|\n|\r", written) if "epoch" in line or "█" in line
    ]
    assert drawn
    assert all(len(re.sub(r"\x1b\[[\d;]*m", "", line)) < 30 for line in drawn)


def test_a_terminal_that_cannot_be_drawn_over_is_told_each_stage_in_a_line():
    written = on_terminal(BUSY, TERM="dumb")
    assert "\x1b" not in written
    assert written.splitlines() == [
        "found: some images",
        "Loading something ...",
        "Training, epoch 1 of 5, 20 % ...",
        "a word in between",
        "  Report  file:///a/report.html",
    ]


def test_in_a_pipe_the_words_are_the_same_and_nothing_is_drawn():
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines() == [LEFT[0], LEFT[2]]
    assert done.stderr == "a word in between\n"


# -- figures --------------------------------------------------------------------------------------


def evaluation(names: list[str]) -> Evaluation:
    n = len(names)
    matrix = tuple(
        tuple(9 if i == j else int(j == (i + 1) % n) for j in range(n)) for i in range(n)
    )
    rows = tuple(ClassRow(name, 0.9, 0.9, 0.9, 10) for name in names)
    intervals = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "log_loss"), (0.8, 1.0))
    return Evaluation("test", 10 * n, 0.9, 0.9, 0.9, 0.3, 1.0, 0.1, intervals, rows, tuple(names),
                      matrix)  # fmt: skip


@pytest.mark.parametrize("length", [3, 30])
def test_a_confusion_matrix_that_does_not_fit_becomes_the_worst_pairs(capsys, length):
    names = [f"class {i:02d}".ljust(length, "x") for i in range(8)]
    show_confusion(Screen(), evaluation(names))
    out = capsys.readouterr().out
    assert ("true \\ predicted" in out) is (length == 3)
    assert (f"{names[0]} taken for {names[1]}" in out) is (length == 30)
    assert max(map(len, out.splitlines())) <= 100
