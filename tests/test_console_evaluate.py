"""What `tl evaluate` shows, from made-up figures: no framework, every width."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tl_cli.console.evaluate import show_evaluation
from tl_cli.console.screen import Screen
from tl_cli.results.calibration import Answered
from tl_cli.results.evaluation import Calibration, ClassRow, Diagnostics, Evaluation, Loss

HOSTILE = "tab by\n[red]cat[/red]\x1b[2J"


def evaluation(classes: tuple[str, ...], mistakes: int, each: int = 10) -> Evaluation:
    """`each` images a class, of which the first class's first ones are taken for the second."""
    confusion = [[each if i == j else 0 for j in range(len(classes))] for i in range(len(classes))]
    confusion[0][0] -= mistakes
    confusion[0][1] += mistakes
    rows = tuple(ClassRow(name, 1.0, 1 - 0.1 * (i == 0), 0.9, each)
                 for i, name in enumerate(classes))  # fmt: skip
    figures = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "log_loss"), (0.8, 0.9))
    return Evaluation("test", each * len(classes), 0.85, 0.85, 0.85, 0.4, None, 0.5, figures, rows,
                      classes, tuple(map(tuple, confusion)))  # fmt: skip


def losses(classes: tuple[str, ...], n: int) -> tuple[Loss, ...]:
    return tuple(
        Loss(f"/home/me/my photos/{i}.jpg", classes[0], classes[1], 0.9, 3.0 - i / 100)
        for i in range(n)
    )


def shown(capsys, width: int, classes: tuple[str, ...], mistakes: int, **more: object) -> str:
    wrong = losses(classes, mistakes)
    right = Loss("right.jpg", classes[0], classes[0], 0.4, 0.9)
    told = Diagnostics(Calibration(0.05, (), 1.2, 0.04), 0.9, 0.8, (),
                       (Answered(0.5, 0.9, 0.95), Answered(0.9, 0.0, None)), (),
                       (*wrong, right), wrong)  # fmt: skip
    screen = Screen()
    screen.out.width = width
    pictures = [Path("my runs/one/confusion.png")]
    show_evaluation(
        screen, evaluation(classes, mistakes), replace(told, **more), Path("my runs/one"), pictures
    )
    return capsys.readouterr().out


def test_it_begins_with_one_sentence(capsys):
    text = shown(capsys, 80, ("cat", "dog"), 2)
    first = "Recognises 85 % of 20 test images (95 %: 80 to 90; guessing gives 50 %)"
    assert text.startswith(first)


def test_only_mistakes_are_called_costly(capsys):
    text = shown(capsys, 80, ("cat", "dog"), 2)
    part = text[text.index("The costliest mistakes") : text.index("Pictures")]
    assert part.count("cat taken for dog, 90 % sure") == 2
    assert "right.jpg" not in text
    assert "The only mistake" in shown(capsys, 80, ("cat", "dog"), 1)
    assert "The costliest mistakes (5 of 7)" in shown(capsys, 80, ("cat", "dog"), 7)


def test_without_a_mistake_it_says_so(capsys):
    text = shown(capsys, 80, ("cat", "dog"), 0)
    assert "none: all 20 images are recognised" in text
    assert "right.jpg" not in text
    assert text.endswith("Next, what other images show: tl predict 'my runs/one' IMAGES\n")


def test_the_pictures_are_last_and_then_what_to_do_next(capsys):
    text = shown(capsys, 100, ("cat", "dog"), 2)
    order = [text.index(part) for part in ("accuracy", "The costliest", "Pictures", "Next, why")]
    assert order == sorted(order)
    last = text.splitlines()[-1]
    assert last.endswith("tl explain 'my runs/one' '/home/me/my photos/0.jpg'")


@pytest.mark.parametrize("width", [40, 80, 100])
def test_lines_fit_paths_stay_whole_and_nothing_ends_in_blanks(capsys, width):
    text = shown(capsys, width, ("cat", "a dog of another kind", "owl"), 3)
    lines = text.splitlines()
    assert all(line == line.rstrip() for line in lines)
    too_long = [line for line in lines if len(line) > width]
    assert all("my photos" in line for line in too_long)  # a name is never broken
    assert len(too_long) <= 1
    assert "my runs/one/confusion.png" in text
    matrix = "true \\ predicted" in text
    assert matrix == (width > 40)
    assert ("cat taken for a dog of another kind: 3 of 10" in " ".join(text.split())) == (
        not matrix
    )


def test_figures_stand_under_each_other(capsys):
    lines = shown(capsys, 80, ("cat", "dog"), 1).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("class"))
    assert len({len(line) for line in lines[start : start + 3]}) == 1


def test_what_no_answer_is_sure_of_is_said_once(capsys):
    text = shown(capsys, 80, ("cat", "dog"), 1)
    assert "no answer is 90 % sure" in text
    assert " 0.0 %" not in text


@pytest.mark.parametrize("width", [40, 80])
def test_hostile_names_are_text(capsys, width):
    text = shown(capsys, width, (HOSTILE, "dog"), 2)
    assert "\x1b" not in text
    assert "[red]cat[/red]\\x1b[2J" in text
    assert "\t" not in text
