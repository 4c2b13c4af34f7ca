"""From random weights: what is drawn, what trains, that it learns, and what the user is told."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from test_cli import COLOURS, SMALL, paint, tl
from tiny import coloured, tiny_backbone, tiny_context

from tl_cli import catalog, config
from tl_cli.engine import train
from tl_cli.engine.finetune import from_scratch, time_budget
from tl_cli.engine.networks import loading
from tl_cli.errors import TLError
from tl_cli.plan import from_scratch as plans
from tl_cli.plan import override
from tl_cli.results.progress import silent
from tl_cli.store import run_dir


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 14, noise=60)


def scratch_context(data, **options):
    options = {"epochs": 4, "learning_rate": 0.01, "from_scratch": True} | options
    context = tiny_context(data, "full", **options)
    plan = plans.recommend(
        context.plan.size, 3, context.backbone.blocks, backbone="tiny", images_per_class=7
    )
    given = {k: options[k] for k in ("epochs", "learning_rate")}
    plan = override(plan, batch_size=8, augment="light", **given)
    return dataclasses.replace(context, plan=plan)


def test_the_plan_says_what_is_done_and_why():
    blocks = tiny_backbone().blocks
    plan = plans.recommend(1000, 10, blocks, backbone="tiny", images_per_class=100)
    assert (plan.strategy, plan.frozen_blocks, plan.epochs) == ("scratch", 0, 40)
    assert "nothing to look at once" in " ".join(plan.reasons)
    assert "LP-FT" not in " ".join(plan.reasons)
    assert plans.epochs(100) > plans.epochs(1000) > plans.epochs(100_000) == 15


def test_kernels_have_he_variance():
    backbone = loading.load(catalog.get("mobilenet_025"), 32, weights=None)
    from_scratch.initialise(backbone, seed=0)
    seen = set()
    for layer in backbone.layers:
        if not isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            continue
        kernel = np.array(layer.kernel)
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        fan_in = 9 if depthwise else kernel[..., 0].size
        if kernel.size > 500:
            assert kernel.std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.12)
            seen.add(depthwise)
    assert seen == {True, False}
    norms = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {x.momentum for x in norms} == {from_scratch.MOMENTUM}
    digest = backbone.digest
    again = loading.load(catalog.get("mobilenet_025"), 32, weights=None)
    from_scratch.initialise(again, seed=0)
    assert again.digest == digest


def test_everything_trains_and_the_best_epoch_is_kept(data):
    context = scratch_context(data, epochs=12)
    built = from_scratch.begin(context)
    before = {w.path: np.array(w) for w in built.model.weights}
    outcome = from_scratch.train(context, built, silent)
    assert all(not np.array_equal(before[w.path], w) for w in built.model.weights)
    facts = outcome.scratch
    assert facts.log_loss == min(row["val_log_loss"] for row in outcome.history)
    assert facts.accuracy > 0.8
    train.check_whole(context, built, outcome.probabilities)


def test_it_is_repeatable(data):
    def once():
        keras.utils.set_random_seed(0)
        context = scratch_context(data, epochs=2)
        return from_scratch.train(context, from_scratch.begin(context), silent).history[-1][
            "val_log_loss"
        ]

    assert once() == once()


def test_fewer_epochs_keep_the_reasons_true(data):
    context = scratch_context(data, epochs=50)
    short = time_budget.fit_into_time(context, from_scratch.begin(context), 0.0, silent)
    assert short.plan.epochs == 1
    assert "1 epochs at" in " ".join(short.plan.reasons)
    assert "LP-FT" not in " ".join(short.plan.reasons)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / name, seed, 16, colour)
    return root


def test_a_run_from_scratch_tells_what_it_is_and_comes_back(photos, tmp_path):
    run = tmp_path / "run"
    done = tl(
        *("train", "--data", photos, "--backbone", "mobilenet_025", "--from-scratch", *SMALL),
        *("--epochs", 2, "--aux-heads", 1, "--gradient-flow", "--output", run, "--json"),
    )
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["head"], told["tune"], told["scratch"]["epochs"]) == (None, None, 2)
    assert told["plan"]["strategy"] == "scratch"
    assert "features" not in told["seconds"]
    whole = keras.saving.load_model(run / run_dir.EXPORTED)
    trained = sum(int(np.prod(w.shape)) for w in whole.trainable_weights)
    assert told["trained_parameters"] == trained
    assert 50e6 < told["peak_memory"] < 50e9
    assert not any("aux" in w.path for w in whole.weights)
    history = (run / run_dir.HISTORY).read_text().splitlines()
    assert history[0].endswith("val_accuracy_aux1")
    assert (run / run_dir.GRADIENTS).read_text().count("\n") > 50
    again = json.loads(tl("evaluate", run, "--json").stdout)
    assert again["log_loss"] == pytest.approx(told["metrics"]["val"]["log_loss"], abs=1e-5)


def test_a_rehearsal_from_scratch_looks_at_nothing(photos):
    done = tl("train", "--data", photos, "--backbone", "mobilenet_025", "--from-scratch", *SMALL,
              "--dry-run", "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["seconds"]["features"] == 0
    assert told["seconds"]["tune"] > 0


def test_a_network_without_weights_is_answered_before_anything_is_done():
    done = tl("train", "--data", "no/such/folder", "--backbone", "resnet18")
    assert done.exit_code == 1
    assert "no pretrained weights of resnet18" in done.stderr
    assert "--from-scratch" in done.stderr


def test_contradictions_are_told_together():
    with pytest.raises(TLError) as caught:
        config.load(flags={"data": "x", "from_scratch": True, "weights": "w", "freeze": "half"})
    assert "from_scratch and weights" in caught.value.message
    assert "from_scratch and freeze half" in caught.value.message
