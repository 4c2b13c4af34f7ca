"""What tuning is expected to gain: by experience, and by what validation says of it."""

import pytest

from tl_cli.plan.prior import SPREAD, expected_gain, usual_gain


def test_experience_promises_more_from_more_images_and_from_unlike_ones():
    assert usual_gain(3_000, 0.5) > usual_gain(300, 0.5) > usual_gain(30, 0.5)
    assert usual_gain(300, 0.3) > usual_gain(300, 0.85)
    assert usual_gain(16, 0.85) < 0 < usual_gain(300, 0.85)  # a few photographs lose by it
    assert usual_gain(10**9, 0.5) == usual_gain(5_000, 0.5)  # nothing was measured beyond


def test_what_validation_says_counts_for_as_much_as_it_knows():
    prior = 0.2 * 0.5
    assert expected_gain(-0.1, 1e-6, 0.5, 0.2) == pytest.approx(-0.1, abs=1e-4)  # many images
    assert expected_gain(-0.1, 1e6, 0.5, 0.2) == pytest.approx(prior, abs=1e-4)  # hardly any
    even = SPREAD * 0.5  # as sure as the prior: halfway
    assert expected_gain(-0.1, even, 0.5, 0.2) == pytest.approx((prior - 0.1) / 2)
    assert expected_gain(-0.01, 0.1, 0.5, 0.2) > 0 > expected_gain(-0.3, 0.05, 0.5, 0.2)
    assert expected_gain(-0.1, 0.0, 0.5, 0.2) == -0.1  # every image alike
