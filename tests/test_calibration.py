"""Temperatures that are judged on images they were not fitted to."""

import numpy as np
import pytest
from scipy.special import softmax

from tl_cli.engine.head import calibration
from tl_cli.engine.head.calibration import calibrated_by_halves
from tl_cli.engine.head.linear_head import fit_temperature
from tl_cli.engine.metrics.figures import log_losses


def too_sure(n=40, seed=0):
    """Return scores that are ten times too sure, and labels: a quarter of the answers is wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    answers = np.where(rng.random(n) < 0.25, (labels + 1) % 3, labels)
    return 20 * np.eye(3)[answers] + rng.normal(0, 1, (n, 3)), labels


def temperatures(scores, probabilities):
    """Return what the scores of each image were divided by."""
    log_p = np.log(probabilities)
    return (scores[:, 0] - scores[:, 1]) / (log_p[:, 0] - log_p[:, 1])


def test_a_half_does_not_depend_on_its_own_labels(monkeypatch):
    scores, labels = too_sure()
    half = np.arange(len(labels)) % 2
    monkeypatch.setattr(calibration, "stratified_folds", lambda *_: half)
    before = calibrated_by_halves(scores, labels)
    other = np.where(half == 0, (labels + 1) % 3, labels)
    after = calibrated_by_halves(scores, other)
    assert np.array_equal(before[half == 0], after[half == 0])
    assert np.abs(before[half == 1] - after[half == 1]).max() > 0.01
    asked_for = fit_temperature(scores[half == 1], labels[half == 1])
    np.testing.assert_allclose(temperatures(scores, before)[half == 0], asked_for, rtol=1e-4)


def test_it_calibrates_and_changes_no_answer():
    scores, labels = too_sure()
    made = calibrated_by_halves(scores, labels)
    assert (made.argmax(1) == scores.argmax(1)).all()
    np.testing.assert_allclose(made.sum(1), 1)
    plain = log_losses(softmax(scores, axis=1), labels).mean()
    assert log_losses(made, labels).mean() < 0.5 * plain


def test_groups_are_kept_whole():
    scores, labels = too_sure()
    groups = np.arange(40) // 5
    used = temperatures(scores, calibrated_by_halves(scores, labels, groups=groups)).round(4)
    assert len(np.unique(used)) == 2
    assert all(len(np.unique(used[groups == group])) == 1 for group in range(8))
    alone = temperatures(scores, calibrated_by_halves(scores, labels)).round(4)
    assert any(len(np.unique(alone[groups == group])) == 2 for group in range(8))


def test_weights_count():
    scores, labels = too_sure()
    wrong = scores.argmax(1) != labels
    even = temperatures(scores, calibrated_by_halves(scores, labels))
    heavy = calibrated_by_halves(scores, labels, weights=np.where(wrong, 5.0, 1.0))
    assert (temperatures(scores, heavy) > even + 0.5).all()


@pytest.mark.parametrize("groups", [None, [7]])
def test_one_image_is_taken_as_it_is(groups):
    scores = np.array([[1.0, 2.0, 0.5]])
    made = calibrated_by_halves(scores, np.array([1]), groups=groups)
    np.testing.assert_allclose(made, softmax(scores, axis=1))


def test_one_group_is_taken_as_it_is():
    scores, labels = too_sure(6)
    made = calibrated_by_halves(scores, labels, groups=np.zeros(6, int))
    np.testing.assert_allclose(made, softmax(scores, axis=1))
