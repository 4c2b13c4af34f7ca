"""Would more images help? Parts keep groups and classes, the gain is paired, the words are true."""

import numpy as np
import pytest

from tl_cli.engine.head.learning_curve import _subsets, learning_curve
from tl_cli.results.learning_curve import CurvePoint, LearningCurve


def blobs(n, seed, classes=4, width=24):
    """Classes as clouds in the first few columns of many that say nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    features = rng.normal(0, 1, (n, width)).astype("float32")
    features[:, :classes] += 1.6 * np.eye(classes, dtype="float32")[labels]
    return features, labels


def curve(n=240, **how):
    return learning_curve(*blobs(n, 0), *blobs(400, 1), 4, [24], **how)


def test_more_images_recognise_more_and_the_last_point_is_all_of_them():
    found = curve()
    assert [point.images for point in found.points] == [60, 120, 240]
    assert [point.repeats for point in found.points] == [8, 4, 1]
    shares = [point.accuracy for point in found.points]
    assert shares[0] < shares[1] < shares[2]
    assert found.held_out == 400
    assert 0 < found.stderr < 0.05


def test_it_is_the_same_again_and_in_json():
    found = curve()
    assert found == curve()
    assert LearningCurve.from_json(found.to_json()) == found


@pytest.mark.parametrize("part", [4, 2])
def test_parts_are_stratified_and_keep_groups(part):
    labels = np.arange(160) % 4
    groups = np.arange(160) // 8  # each holds images of all classes
    for rows in _subsets(labels, part, 0, groups):
        assert abs(len(rows) - 160 / part) <= 8
        assert len(np.unique(np.bincount(labels[rows]))) == 1
        inside, outside = set(groups[rows]), set(np.delete(groups, rows))
        assert inside.isdisjoint(outside)


def test_parts_of_one_turn_are_disjoint():
    parts = list(_subsets(np.arange(4000) % 4, 4, 0, None))  # large sets have one turn
    assert len(parts) == 4
    assert sorted(np.concatenate(parts)) == list(range(4000))


def test_too_few_images_have_no_curve():
    assert curve(n=12) is None  # fewer than two a class in a half
    assert [point.images for point in curve(n=20).points] == [10, 20]
    features, labels = blobs(40, 0)
    assert learning_curve(features, labels, features[:9], labels[:9], 4, [24]) is None


def of(*shares, held_out=400, stderr=0.01):
    sizes = [540 // 2**i for i in range(len(shares))][::-1]
    points = [CurvePoint(n, s, 1) for n, s in zip(sizes, shares, strict=True)]
    return LearningCurve(tuple(points), held_out, stderr)


def test_it_is_read_out_in_one_sentence():
    assert of(0.84, 0.866, 0.887).told == (
        "Doubling from 270 to 540 images gave +2.1 points (± 1.0); another doubling would probably "
        "give 1 to 3."
    )
    assert of(0.991, 0.995, 0.9955).told.endswith("would probably give less than one.")
    assert of(0.5, 0.5, 0.5).expected == (0, 0)
    assert of(0.9, 0.88).expected == (0, 0)  # nothing is promised where it got worse


def test_a_gain_that_chance_may_have_made_promises_nothing():
    noisy = of(0.43, 0.63, 0.69, held_out=13, stderr=0.09)
    assert not noisy.is_clear
    assert noisy.told.endswith(": 13 held-out images cannot tell whether more would help.")


def test_no_mistake_at_all_promises_next_to_nothing():
    low, high = of(0.9, 1.0, held_out=50).expected
    assert low == high == 0
