"""What the terminal shows while something goes on."""

from dataclasses import replace

import pytest
from rich.console import Console

from tl_cli.console import screen
from tl_cli.console.screen import Screen
from tl_cli.results.progress import Progress
from tl_cli.results.training import CandidateResult, FinetuneResult, HeadResult, RunResult


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


def result(kept: str | None, *, refit: bool) -> RunResult:
    candidates = (CandidateResult("head", 0.5, 0.8), CandidateResult("tuned", 0.4, 0.9))
    tune = FinetuneResult(3, 2, kept, 0.1, 0.01, candidates, "because [of] it") if kept else None
    head = HeadResult("multi", 1.0, 0.1, 0.8, 0.5, 0.02)
    return RunResult("run", {}, {}, {"total": 1.0}, head, tune, 64, "float32", 10, 10, refit=refit)


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
    Screen().result(result(kept, refit=refit))
    out = capsys.readouterr().out
    assert said in out
    whole = " ".join(out.split())
    assert ("fitted to training and validation images together" in whole) is refit
    assert "predictions made without these images in the fit" in whole
    assert ("Tuning: because [of] it" in out) is bool(kept)


def test_a_training_from_scratch_has_no_head_that_was_saved(capsys):
    Screen().result(replace(result(None, refit=False), head=None))
    assert "Saved" not in capsys.readouterr().out


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
