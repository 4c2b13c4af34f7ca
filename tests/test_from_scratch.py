"""From random weights: what is drawn, what trains, that it learns, and what the user is told."""

import json

import keras
import numpy as np
import pytest

from test_cli import COLOURS, SMALL, paint, tl
from tiny import coloured, tiny_backbone, tiny_context, tiny_settings
from tl_cli import catalog, config
from tl_cli.engine.features import KIND
from tl_cli.engine.finetune import fit, from_scratch, validation
from tl_cli.engine.networks import loading
from tl_cli.engine.predict import probabilities
from tl_cli.errors import TLError
from tl_cli.plan import from_scratch as plans
from tl_cli.results.progress import silent
from tl_cli.store import cache, run_dir


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 14, noise=60)


def scratch_context(data, **options):
    options = {"epochs": 4, "learning_rate": 0.01, "augment": "light"} | options
    return tiny_context(data, "auto", from_scratch=True, **options)


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


def test_everything_trains_and_the_best_epoch_is_kept(data, monkeypatch):
    context, starts = scratch_context(data, epochs=12), []
    began = from_scratch.random_classifier

    def watched(context):
        made = began(context)
        starts.append({w.path: np.array(w) for w in made.model.weights})
        return made

    monkeypatch.setattr(from_scratch, "random_classifier", watched)
    made = from_scratch.train_from_scratch(context, tiny_settings(context), silent)
    [before], trained = starts, made.trained
    weights = trained.classifier.model.weights
    assert all(not np.array_equal(before[w.path], w) for w in weights)
    result = made.result
    assert result.loss == min(row["val_log_loss"] for row in made.history)
    assert result.figure > 0.8
    whole = probabilities(trained.classifier, context.manifest.of("val"), silent)
    np.testing.assert_allclose(whole, trained.fitted, atol=1e-3)
    assert trained.refit is False


@pytest.mark.long
def test_the_weights_are_those_of_the_best_epoch_not_of_the_last(data, monkeypatch):
    losses = iter((0.5, 0.2, 0.9, 0.8))
    monkeypatch.setattr(validation, "validation_loss", lambda *_: next(losses))
    seen, see = [], fit.BestCheckpoint.see

    def watched(self, row, judged, weights, *more):
        seen.append(fit.copies(weights))
        return see(self, row, judged, weights, *more)

    monkeypatch.setattr(fit.BestCheckpoint, "see", watched)
    context = scratch_context(data)
    made = from_scratch.train_from_scratch(context, tiny_settings(context), silent)
    assert (made.result.best_epoch, made.result.epochs, made.result.loss) == (2, 4, 0.2)
    kept = fit.copies(context.backbone.model.weights)
    assert all(np.array_equal(a, b) for a, b in zip(kept, seen[1], strict=False))
    assert not all(np.array_equal(a, b) for a, b in zip(kept, seen[3], strict=False))


@pytest.mark.slow  # test_resume_epochs.py trains twice in each mode, and compares every bit
def test_it_is_repeatable(data):
    def once():
        keras.utils.set_random_seed(0)
        context = scratch_context(data, epochs=2)
        made = from_scratch.train_from_scratch(context, tiny_settings(context), silent)
        return made.history[-1]["val_log_loss"]

    assert once() == once()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / name, seed, 16, colour)
    return root


@pytest.mark.long
def test_a_run_from_scratch_tells_what_it_is_and_comes_back(photos, tmp_path):
    run = tmp_path / "run"
    done = tl(
        *("train", "--data", photos, "--from-scratch", *SMALL),
        *("--epochs", 2, "--aux-heads", 1, "--gradient-flow", "--test", 0.2),
        *("--output", run, "--json"),
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
    again = json.loads(tl("evaluate", run, "--split", "test", "--json").stdout)
    assert again["log_loss"] == pytest.approx(told["metrics"]["test"]["log_loss"], abs=1e-5)
    assert not [entry for entry in cache.entries() if entry.kind == KIND]  # nothing passes twice


@pytest.mark.long
def test_a_rehearsal_from_scratch_looks_at_nothing(photos):
    done = tl("train", "--data", photos, "--from-scratch", *SMALL,
              "--dry-run", "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["seconds"]["features"] == 0
    parts = {name: part for name, part in told["seconds"].items() if name != "total"}
    assert {"start", "build", "tune", "evaluate"} <= set(parts) and parts["tune"] > 0
    assert told["seconds"]["total"] == pytest.approx(sum(parts.values()), abs=0.3)


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
