"""Two classifiers on the same images: against figures worked out by hand."""

import numpy as np
import pytest

from tl_cli.results.paired import mean_interval, paired


def rights(both, only_first, only_second, neither):
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


def test_a_difference_worked_out_by_hand():
    found = paired(*rights(80, 10, 1, 9))
    assert (found.n, found.only_first, found.only_second) == (100, 10, 1)
    assert found.difference == pytest.approx(0.09)
    # two-sided exact binomial: 2 (C(11,0) + C(11,1)) / 2^11
    assert found.p_value == pytest.approx(2 * 12 / 2**11)
    assert found.interval[0] > 0
    assert found.verdict.startswith("The first is better")


def test_the_order_only_turns_the_sign():
    one, other = rights(50, 12, 3, 5)
    there, back = paired(one, other), paired(other, one)
    assert there.difference == -back.difference
    assert there.p_value == back.p_value
    assert "second" in back.verdict


def test_the_same_answers_are_no_difference():
    found = paired(*rights(5, 0, 0, 3))
    assert (found.p_value, found.difference) == (1.0, 0.0)
    assert found.interval[0] == -found.interval[1] < 0
    assert found.verdict == "A tie: they recognise the very same images."


def test_chance_is_called_a_difference_as_seldom_as_it_says():
    draw = np.random.default_rng(0)
    p = [paired(draw.random(80) < 0.8, draw.random(80) < 0.8).p_value for _ in range(200)]
    assert np.mean(np.array(p) < 0.05) < 0.08  # 0.05, and three standard errors of 200 draws


def test_the_interval_holds_the_mean():
    values = np.random.default_rng(1).normal(0.3, 1, 400)
    low, high = mean_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)


@pytest.mark.parametrize("sizes", [(0, 0), (3, 4)])
def test_other_images_are_refused(sizes):
    with pytest.raises(ValueError, match="the same images"):
        paired(*([True] * n for n in sizes))
