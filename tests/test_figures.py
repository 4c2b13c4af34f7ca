"""Figures against scikit-learn's own, intervals that cover, classes matched by name."""

import numpy as np
import pytest
from sklearn import metrics

from tl_cli.engine.finetune import flip_check
from tl_cli.engine.head.linear_head import quality, scores_of
from tl_cli.engine.metrics.figures import encode, evaluate, log_losses
from tl_cli.errors import TLError

CLASSES = tuple("abcdefg")


def sample(n=400, seed=0, classes=7):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    scores = rng.normal(0, 1, (n, classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return probabilities, labels


def test_the_figures_are_scikit_learns():
    p, y = sample()
    found = evaluate(p, y, CLASSES, split="test")
    said = p.argmax(1)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(y, said))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(y, said))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(y, said, average="macro"))
    assert found.log_loss == pytest.approx(metrics.log_loss(y, p))
    assert found.top5 == pytest.approx(metrics.top_k_accuracy_score(y, p, k=5))
    assert np.array_equal(found.confusion, metrics.confusion_matrix(y, said))
    assert found.majority_baseline == np.bincount(y).max() / len(y)
    assert [row.support for row in found.per_class] == np.bincount(y).tolist()


def test_the_intervals_hold_the_figure_and_narrow_with_more_images():
    few, many = (evaluate(*sample(n), CLASSES, split="test") for n in (100, 2_500))
    for name, (low, high) in few.intervals.items():
        assert low < getattr(few, name) < high
        other = many.intervals[name]
        assert other[1] - other[0] < 0.4 * (high - low)


@pytest.mark.long
def test_the_intervals_cover_the_truth_about_as_often_as_they_say():
    truth = evaluate(*sample(100_000, seed=99), CLASSES, split="test").accuracy
    hits = 0
    for seed in range(60):
        low, high = evaluate(*sample(150, seed), CLASSES, split="test").intervals["accuracy"]
        hits += low <= truth <= high
    assert 50 <= hits <= 60


def test_classes_that_are_absent_are_left_out_of_the_means():
    p, y = sample()
    some = y < 3
    found = evaluate(p[some], y[some], CLASSES, split="all")
    recalls = [(p[y == c].argmax(1) == c).mean() for c in range(3)]
    assert found.balanced_accuracy == pytest.approx(np.mean(recalls))
    assert found.per_class[6].support == 0


def test_a_probability_of_nothing_costs_the_same_wherever_it_is_counted():
    p, y = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), np.array([0, 0, 0])
    expected = [0, -np.log(1e-12), np.log(2)]
    np.testing.assert_allclose(log_losses(p, y), expected, atol=1e-15)
    assert evaluate(p, y, CLASSES[:2], split="test").log_loss == pytest.approx(np.mean(expected))
    assert quality(p, y)["cv_log_loss"] == pytest.approx(np.mean(expected))
    # and scores made of probabilities are floored there, too
    assert -scores_of(p)[1, 0] == pytest.approx(log_losses(p, y)[1])


def test_top5_is_for_more_than_five_classes():
    assert evaluate(*sample(classes=5), CLASSES[:5], split="test").top5 is None


def test_no_images_is_one_sentence():
    with pytest.raises(TLError, match="no test images"):
        evaluate(np.empty((0, 7)), np.empty(0, int), CLASSES, split="test")


def test_classes_are_matched_by_name():
    assert encode(["b", "a"], CLASSES).tolist() == [1, 0]
    with pytest.raises(TLError, match="unknown class 'flowr'") as caught:
        encode(["flowr"], ("flower", "tree"))
    assert "did you mean 'flower'?" in caught.value.message


def test_mirroring_is_refused_where_it_changes_the_answer():
    labels = np.repeat([0, 1, 2, 3], 25)
    plain = np.ones(100, bool)
    assert flip_check.verdict(plain, plain, labels)[0]
    assert not flip_check.verdict(plain, labels != 0, labels)[0]  # a quarter is lost
    few = plain.copy()
    few[[3, 30]] = False
    assert flip_check.verdict(plain, few, labels)[0]
    one = np.repeat(np.arange(60), 10)
    assert not flip_check.verdict(np.ones(600, bool), one != 7, one)[0]  # one class of sixty
