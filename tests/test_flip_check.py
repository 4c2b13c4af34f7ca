"""May the images be mirrored? On answers that are made up, where it is known whether they may."""

import numpy as np
import pytest

from tl_cli.engine.finetune import flip_check


def answers(n, classes=100, lost=(), plain=0.98, noise=0.02, seed=0):
    """Whether n images a class are recognised, plain and mirrored; `lost` are not, mirrored.

    Noise loses that share of the recognised ones, and gains as many of the others.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), n)
    right = rng.random(labels.size) < plain
    gained = noise * plain / (1 - plain)
    still = np.where(right, rng.random(labels.size) >= noise, rng.random(labels.size) < gained)
    return right, still & ~np.isin(labels, lost), labels


@pytest.mark.parametrize("n", [4, 5, 8, 20])
@pytest.mark.parametrize("seed", range(5))
def test_two_classes_of_a_hundred_that_swap_forbid_it(n, seed):
    assert flip_check.verdict(*answers(n, seed=seed))[0]
    assert not flip_check.verdict(*answers(n, lost=(13, 57), seed=seed))[0]


@pytest.mark.parametrize("n", [3, 4, 8])  # images a class; 2 % in all, which is let pass
def test_classes_that_swap_are_told_where_the_whole_hardly_loses(n):
    labels = np.repeat(np.arange(100), n)
    may, why = flip_check.verdict(np.ones(100 * n, bool), labels >= 2, labels)
    assert (may, why.rpartition(", and ")[2]) == (False, "2 classes can no longer be recognised")


@pytest.mark.parametrize(("n", "classes"), [(4, 100), (8, 100), (5, 400), (30, 10)])
@pytest.mark.parametrize(("plain", "noise"), [(0.95, 0.03), (0.6, 0.3)])
def test_noise_makes_no_class_a_lost_one(n, classes, plain, noise):
    """Some class of a hundred loses most of its images by chance, where few are recognised."""
    wrong = 0
    for seed in range(40):
        _, why = flip_check.verdict(*answers(n, classes, plain=plain, noise=noise, seed=seed))
        wrong += "can no longer be recognised" in why
    assert wrong <= 4  # one in twenty by CHANCE, if not fewer


def test_enough_of_each_class_are_tried_where_there_are_many():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 30))
    kept, held = flip_check.halves(labels, 0, None)
    assert set(np.bincount(labels[held])) == {flip_check.CLASS_MOST}
    assert sorted([*kept, *held]) == list(range(3000))
    # and of few classes no more than that, as many of each as they have
    labels = np.repeat([0, 1, 2], [3000, 900, 20])
    counts = np.bincount(labels[flip_check.halves(labels, 0, None)[1]])
    assert counts.sum() == flip_check.MOST
    assert counts[2] >= flip_check.CLASS_MOST and counts[0] > 2 * counts[1]


def test_no_group_is_on_both_sides():
    groups = np.random.default_rng(0).integers(0, 300, 3000)
    labels = groups % 4
    kept, held = flip_check.halves(labels, 0, groups)
    assert len(held) == flip_check.MOST
    assert not set(groups[kept]) & set(groups[held])
    assert set(labels[held]) <= set(labels[kept])


def test_a_class_of_one_image_or_one_group_is_left_out_and_the_others_are_tried():
    labels = np.append(np.repeat([0, 1], 20), 2)
    for seed in range(5):
        assert set(labels[flip_check.halves(labels, seed, None)[1]]) == {0, 1}
    groups = np.append(np.arange(20) // 4, np.arange(21) // 30 + 9)  # all of class 1 is one group
    for seed in range(5):
        assert set(labels[flip_check.halves(labels, seed, groups)[1]]) == {0}
