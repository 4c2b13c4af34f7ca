"""Sets of classes with a promised coverage: the promise, its limits, and how they are written."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tl_cli.console import predict as console
from tl_cli.engine import conformal
from tl_cli.errors import TLError
from tl_cli.store import prediction_forms
from tl_cli.store.prediction_forms import ImagePrediction


def drawn(rng: np.random.Generator, n: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of a mediocre, overconfident network, and the labels."""
    labels = rng.integers(0, classes, n)
    scores = rng.normal(0, 2, (n, classes)) + 2.5 * np.eye(classes)[labels]
    p = np.exp(2 * scores)
    return p / p.sum(1, keepdims=True), labels


@pytest.mark.parametrize("coverage", [0.6, 0.8, 0.95])
def test_the_promise_holds_over_draws(coverage):
    rng = np.random.default_rng(0)
    hits, sizes = [], []
    for _ in range(300):
        sets = conformal.fit(*drawn(rng, 60), coverage)
        p, labels = drawn(rng, 60)
        own = sets.of(p)
        hits += [label in one for label, one in zip(labels, own, strict=True)]
        sizes += map(len, own)
    share = np.mean(hits)
    assert share >= coverage - 0.01
    if coverage > 0.8:  # below, the best guess alone is right more often
        assert share <= coverage + 0.03
    assert 1 <= np.mean(sizes) < 4


def test_a_set_is_what_is_probable_enough_the_best_first_and_never_empty():
    sets = conformal.ConformalSets(0.9, 0.3, 50)
    p = np.array([[0.1, 0.55, 0.35], [0.25, 0.5, 0.25], [0.3, 0.4, 0.3], [0.29, 0.35, 0.28]])
    assert sets.of(p) == [[1, 2], [1], [1, 0, 2], [1]]
    assert conformal.ConformalSets(0.9, 0.99, 50).of(p)[0] == [1]


def test_the_threshold_is_that_of_one_image_more():
    p = np.linspace(0.01, 0.99, 99)
    table = np.stack([p, 1 - p], axis=1)
    assert conformal.fit(table, np.zeros(99, int), 0.95).least == pytest.approx(0.05)
    assert conformal.fit(table[-19:], np.zeros(19, int), 0.95).least == pytest.approx(0.81)


def test_too_few_images_promise_nothing():
    p, labels = drawn(np.random.default_rng(0), 18)
    with pytest.raises(TLError, match="needs 19 held-out images, and the run has 18") as error:
        conformal.fit(p, labels, 0.95)
    assert "at most --coverage 0.94" in error.value.hint


def test_how_sets_are_written():
    answer = ImagePrediction("a.png", (("b", 0.5),), "b", candidates=("b", "=c"))
    failed = ImagePrediction("x.png", error="no image")
    text = prediction_forms.csv_header(1, sets=True) + "".join(
        prediction_forms.csv_row(each, 1, sets=True) for each in (answer, failed)
    )
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["set_size"], first["set"]) == ("2", "b;=c")
    assert (second["set_size"], second["set"]) == ("", "")
    assert json.loads(prediction_forms.json_row(answer, 1))["set"] == ["b", "=c"]
    assert "set" not in json.loads(prediction_forms.json_row(failed, 1))
    assert console._said(answer).plain == "b 0.500   or =c"


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("TL_SETS"), reason="needs real sets in TL_SETS")
def test_the_promise_holds_on_real_images(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "scripts")
    import bench_coverage

    folder = Path(os.environ["TL_SETS"]) / "flowers"
    for line in bench_coverage.lines(folder, 64, 5):
        assert line["covered"] >= line["asked"] - 0.06  # 230 test images: two standard errors
        assert 1 <= line["size"] < line["classes"]
