"""What the terminal shows: while something goes on, and what it came to."""

import re
from dataclasses import replace

import pytest
from rich.text import Text

from tl_cli.console import progress, screen
from tl_cli.console.screen import Screen
from tl_cli.console.terminal import wrapped
from tl_cli.console.train import show_details
from tl_cli.results.progress import Note, Progress, begun
from tl_cli.results.training import CandidateResult, FinetuneResult, HeadResult, RunResult


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    for module in (screen, progress):
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
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


def result(kept: str | None, *, refit: bool) -> RunResult:
    candidates = (CandidateResult("head", 0.5, 0.8), CandidateResult("tuned", 0.4, 0.9))
    tune = FinetuneResult(3, 2, kept, 0.1, 0.01, candidates, "because [of] it") if kept else None
    head = HeadResult("multi", 1.0, 0.1, 0.8, 0.5, 0.02)
    return RunResult(
        "run", {}, {}, {"total": 1.0}, head, tune, 64, "float32", 10, 10, 10, 10, refit=refit
    )


@pytest.mark.parametrize(
    ("kept", "refit", "said"),
    [
        (None, True, "Saved: the solved head on the frozen backbone; in the end the head was"),
        ("head", False, "Saved: the solved head on the frozen backbone"),
        ("solved again", False, "Saved: the tuned network, its head solved again"),
        ("solved again", True, "Saved: the tuned network, its head solved again"),
        ("[new] one", False, "Saved: what is called '[new] one'"),
    ],
)
def test_a_result_says_what_was_saved_and_whether_it_saw_the_validation_images(
    capsys, kept, refit, said
):
    show_details(Screen(), result(kept, refit=refit))
    whole = " ".join(capsys.readouterr().out.split())
    assert said in whole
    assert ("fitted to training and validation images together" in whole) is refit
    assert "predictions made without these images in the fit" in whole
    assert ("Tuning: because [of] it" in whole) is bool(kept)


def test_a_training_from_scratch_has_no_head_that_was_saved(capsys):
    show_details(Screen(), replace(result(None, refit=False), head=None))
    assert "Saved" not in capsys.readouterr().out


# -- what goes on ---------------------------------------------------------------------------------


def shown(activity: progress.Activity, width: int = 79) -> str:
    lines = activity.lines(width)
    assert all(len(line) <= width for line in lines)
    return "\n".join(lines)


def test_the_rounds_of_a_stage_are_one_measure_with_speed_and_time_left(clock):
    activity = progress.Activity()
    for k in (1, 2):
        for done in (50, 100):
            clock[0] += 1
            activity.see(Progress(f"epoch {k}/4", done, 100, facts={"val accuracy": 0.875}))
    assert "Training, epoch 2 of 4 (88 % right by now)" in shown(activity)
    assert " 50 %  50 images/s  4 s left" in shown(activity)


def test_the_time_left_has_that_of_the_stages_to_come(clock):
    activity = progress.Activity()
    activity.expect({"view": 20.0, "epoch": 100.0})
    activity.begin("Preparing")
    assert "about 2 min 00 s left" in shown(activity)
    activity.see(Progress("view 1/2", 50, 100))
    clock[0] = 5
    activity.see(Progress("view 1/2", 100, 100))
    assert "1 min 50 s left" in shown(activity)  # 10 for the second view, 100 for the epochs
    activity.see(Progress("epoch 1/2", 1, 100))
    assert "1 min 40 s left" in shown(activity)


def test_a_stage_in_which_nothing_is_counted_says_how_long_it_takes_already(clock):
    activity = progress.Activity()
    activity.see(begun("build"))
    assert shown(activity).endswith("Building the network")
    clock[0] = 3.2
    assert shown(activity).endswith("Building the network  3 s")


def test_a_measure_that_comes_again_starts_anew(clock):
    activity = progress.Activity()
    for done, total in ((0, 20), (20, 20), (5, 40)):
        clock[0] += 1
        activity.see(Progress("decode", done, total))
    assert " 12 %" in shown(activity)
    assert "images/s" not in shown(activity)


@pytest.mark.parametrize("width", [39, 59, 79, 200])
def test_the_lines_fit_any_width(clock, width):
    activity = progress.Activity()
    activity.footer = "Ready: runs/a-very-long-name. Now trying to improve it; Ctrl-C keeps this."
    activity.see(Progress("epoch 1/30", 10, 1000))
    clock[0] = 10
    activity.see(Progress("epoch 2/30", 500, 1000, facts={"val accuracy": 0.5}))
    lines = activity.lines(width)
    assert len(lines) == 3
    assert all(len(line) <= width for line in lines)
    assert "left" in lines[1]
    assert ("images/s" in lines[1]) is (width > 40)


def test_who_asks_for_the_result_alone_is_not_told_each_finding(capsys):
    brief, full = Screen(verbose=False), Screen()
    for each in (brief, full):
        each.on_progress(Note("by the way"))
        each.on_progress(Note("going on", needed=True))
        each.on_progress(Note("ready", lasting=True))
        each.on_progress(Progress("features", 20, 20))
    told = capsys.readouterr().err.splitlines()
    assert told == ["going on", "by the way", "going on", "ready", "features: 20/20 images"]
    assert brief.activity.footer == "ready"


# -- words and lines ------------------------------------------------------------------------------


def test_lines_break_between_words_and_never_within_a_path():
    path = "/a/path/that/is/longer/than/the/line.png"
    text = wrapped(Text(f"Some words, then {path} and more of them"), 20, indent="  ")
    lines = text.plain.splitlines()
    assert lines == ["Some words, then", f"  {path}", "  and more of them"]


def test_no_line_ends_in_blanks(capsys):
    screen = Screen()
    screen.matrix([("a", ["1", ""]), ("bbb", ["22", ""])], ["one", "two"])
    screen.paragraph("[bold]text[/]  ", first="! ")
    out = capsys.readouterr().out
    assert "bbb" in out
    assert not re.search(r" $", out, re.MULTILINE)
