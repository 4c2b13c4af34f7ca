"""No interval without a width, whatever the figures and however few the images."""

import numpy as np
import pytest
from scipy.stats import binomtest

from tl_cli.engine.metrics.figures import evaluate
from tl_cli.results import intervals
from tl_cli.results.paired import mean_interval, paired

SHARES = ("accuracy", "balanced_accuracy", "macro_f1")


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (4, 4), (0, 7), (3, 7), (99, 100)])
def test_a_share_is_wilsons(hits, n):
    reference = binomtest(hits, n).proportion_ci(method="wilson")
    assert intervals.wilson(hits, n) == pytest.approx((reference.low, reference.high))


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("n", [1, 4, 40])
def test_all_right_or_all_wrong_is_not_certain(n, right):
    labels = np.arange(n) % 2
    said = np.eye(2)[labels if right else 1 - labels]
    found = evaluate(said * 0.8 + 0.1, labels, ("a", "b"), split="test")
    for name in SHARES:
        low, high = found.intervals[name]
        assert high - low > 0.03, name
        assert low <= getattr(found, name) <= high
    assert found.intervals["accuracy"] == intervals.wilson(n * right, n)
    assert found.intervals["log_loss"] is None  # all images cost the same: nothing is known of it
    assert found.to_json()["intervals"]["log_loss"] is None


def test_where_it_has_spread_the_bootstrap_speaks():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 60)
    said = random.dirichlet(np.ones(3), 60) + 0.4 * np.eye(3)[labels]
    found = evaluate(said / 1.4, labels, ("a", "b", "c"), split="test")
    for name in (*SHARES, "log_loss"):
        low, high = found.intervals[name]
        assert low < getattr(found, name) < high


def test_the_mean_of_one_share_is_that_share():
    assert intervals.mean_of_shares([(3, 7)]) == pytest.approx(intervals.wilson(3, 7))
    low, high = intervals.mean_of_shares([(3, 7)] * 4)
    assert high - low == pytest.approx(np.subtract(*intervals.wilson(3, 7)[::-1]) / 2)


def test_f1_follows_its_share():
    assert intervals.mean_of_f1([(4, 4)])[1] == 1.0
    assert intervals.mean_of_f1([(4, 4)])[0] == pytest.approx(
        2 / (1 + 1 / intervals.wilson(4, 4)[0])
    )


@pytest.mark.parametrize(("first", "second", "n"), [(0, 0, 1), (0, 0, 18), (4, 0, 4), (3, 1, 20)])
def test_a_paired_difference_has_a_width(first, second, n):
    one = [True] * first + [False] * second + [True] * (n - first - second)
    other = [False] * first + [True] * second + [True] * (n - first - second)
    found = paired(one, other)
    low, high = found.interval
    assert -1 <= low < high <= 1
    assert low <= found.difference <= high
    # a difference from nothing goes both ways alike
    assert (low == pytest.approx(-high)) == (first == second)


def test_a_mean_of_equal_values_has_no_interval():
    assert mean_interval(np.full(5, 0.25)) is None
