"""The rate grows from step to step, the loss is each batch's own, nothing is kept; the words."""

import itertools
import json
import math

import numpy as np
import pytest
from PIL import Image

from test_cli import COLOURS, SMALL, paint, tl
from tiny import coloured, tiny_context, tiny_plan
from tl_cli.engine.finetune import learning_rate_test as tested
from tl_cli.results.learning_rate_test import LearningRateTest, ran_away, smoothed
from tl_cli.results.progress import silent


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return tiny_context(coloured(tmp_path_factory.mktemp("photos") / "all"), cache=False)


def test_the_rate_grows_by_one_factor_and_no_weight_is_kept(context):
    before = context.backbone.model.get_weights()
    plan = tiny_plan(context)
    found = tested.learning_rate_test(context, plan, silent)
    assert found.rates[0] == tested.LEAST
    factors = [b / a for a, b in itertools.pairwise(found.rates)]
    assert np.allclose(factors, factors[0])
    assert len(found.losses) == len(found.smoothed) == len(found.rates) <= tested.STEPS
    assert found.diverged is (len(found.rates) < tested.STEPS)
    assert found.used == plan.learning_rate
    assert all(map(math.isfinite, found.losses))
    assert np.std(np.diff(found.losses)) > np.std(np.diff(found.smoothed))  # batch by batch
    after = context.backbone.model.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.long
def test_it_ends_where_the_loss_runs_away(context, monkeypatch):
    seen = []

    def at_step_7(losses):
        seen.append(len(losses))
        return len(losses) == 7

    monkeypatch.setattr(tested, "ran_away", at_step_7)
    found = tested.learning_rate_test(context, tiny_plan(context), silent)
    assert seen == list(range(1, 8))
    assert (len(found.losses), found.diverged) == (7, True)


def test_what_running_away_is():
    assert ran_away([1.0, math.nan])
    assert ran_away([1.0] * 20 + [60.0])
    assert not ran_away([1.0] * 20 + [3.0])
    assert not ran_away([1.0, 9.0])  # so early one batch is the whole mean


def test_the_running_mean_has_no_bias_at_its_beginning():
    assert smoothed([2.0] * 5) == pytest.approx([2.0] * 5)
    assert smoothed([1.0, 2.0])[1] == pytest.approx((0.09 * 1 + 0.1 * 2) / 0.19)


def valley(used):
    """A loss that is flat, falls fastest at 1e-3, is least at 1e-2 and rises."""
    rates = [10 ** (-5 + i / 10) for i in range(41)]
    losses = [1 / (1 + 10 ** (2 * (math.log10(r) + 3))) + (100 * r) ** 2 / 9 for r in rates]
    return LearningRateTest.of(rates, losses, used, diverged=False)


def test_a_rate_beyond_the_least_loss_is_warned_of():
    assert "lies below it" in valley(3e-4).told
    found = valley(0.5)
    assert f"--learning-rate {found.lowest / 3:.1g} would be safer" in found.told
    assert found.steepest < found.lowest
    assert 1e-4 < found.steepest < 1e-2


@pytest.mark.long
def test_the_picture_lies_beside_the_run_and_the_figures_in_the_json(tmp_path, monkeypatch):
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(tmp_path / "photos" / name, seed, 12, colour)
    monkeypatch.chdir(tmp_path)
    options = ("train", "--data", "photos", *SMALL, "--dry-run", "--plots")
    done = tl(*options, "--freeze", "half", "--output", "runs/a", "--json")
    assert done.exit_code == 0, done.stderr
    assert "wrote runs/a-learning_rate.png" in done.stderr
    with Image.open(tmp_path / "runs" / "a-learning_rate.png") as drawn:
        assert min(drawn.size) > 300
    told = json.loads(done.stdout)["learning_rate_test"]
    assert told["used"] == json.loads(done.stdout)["plan"]["learning_rate"]
    assert len(told["rates"]) == len(told["smoothed"])
    assert not (tmp_path / "runs" / "a").exists()
    done = tl(*options, "--freeze", "head")
    assert "there is no learning rate to draw" in done.stderr
    assert not (tmp_path / "learning_rate.png").exists()


def test_a_training_that_is_to_be_done_has_no_such_plot():
    assert tl("train", "--data", "x", *SMALL, "--plots").exit_code == 2
