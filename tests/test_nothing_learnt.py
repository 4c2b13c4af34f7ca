"""Labels that carry nothing: it is said that nothing was learnt, and by which figure."""

from __future__ import annotations

import numpy as np
import pytest

from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.split import assign_splits
from tl_cli.engine.metrics.figures import evaluate
from tl_cli.errors import TLError
from tl_cli.results.evaluation import nothing_learnt


def said(labels: list[int], answers: list[int], classes: int = 2) -> str:
    """Return what is said of answers that are all sure."""
    names = [str(i) for i in range(classes)]
    figures = evaluate(np.eye(classes)[answers], np.array(labels), names, split="val")
    return nothing_learnt(figures.to_json())


@pytest.mark.parametrize(
    ("labels", "answers"),
    [
        ([0, 1] * 40, [0] * 80),  # always the same
        ([0, 1] * 40, [0, 0, 1, 1] * 20),  # shuffled
        ([0] * 999 + [1], [0] * 1000),
    ],
)
def test_what_is_no_better_than_naming_one_class_has_learnt_nothing(labels, answers):
    told = said(labels, answers)
    assert told.startswith("Nothing was learnt: accuracy 0.")
    assert "most frequent class" in told


def test_few_images_cannot_tell():
    assert said([0, 1], [0, 1]).startswith("Whether anything was learnt cannot be told by 2 images")
    assert said([0, 1] * 10, [0, 1] * 10) == ""


def test_a_rare_class_that_is_recognised_is_something_learnt():
    labels = [0] * 990 + [1] * 10
    answers = [1] * 20 + [0] * 970 + [1] * 9 + [0]
    assert said(labels, answers) == ""  # accuracy .979, below .990 of naming one class


def test_json_has_it_too():
    figures = evaluate(np.eye(2)[[0, 0]], np.array([0, 1]), ["a", "b"], split="val")
    assert figures.to_json()["learnt"] is False


def test_copies_of_one_image_are_called_copies():
    records = [Record(f"{i}.png", "ab"[i % 2], digest="0" * 32) for i in range(40)]
    with pytest.raises(TLError, match=r"one image each \(38 more images are exact copies\)"):
        assign_splits(Manifest("x", ("a", "b"), tuple(records)))
