"""The tuning: what it starts from, what trains and what must not, what it is fed with."""

import dataclasses

import numpy as np
import pytest

from conftest import in_turn
from tiny import coloured, tiny_context, tiny_head, tiny_plan, tiny_settings
from tl_cli.engine import dry_run, features
from tl_cli.engine.finetune import finetune as tuning
from tl_cli.engine.finetune import flip_check, settings
from tl_cli.engine.finetune.compile import compile_suffix
from tl_cli.engine.finetune.fit import fit, stages
from tl_cli.engine.finetune.optimizer import optimizer, rate_factors
from tl_cli.engine.finetune.state import BestCheckpoint, copies
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.finetune.validation import validation_loss
from tl_cli.engine.head import choice
from tl_cli.results.progress import Note, silent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 14, noise=110)


def scores_on(context, classifier, decided, split="val"):
    feed = TrainingData(context, decided, silent)
    return feed.outputs(classifier.suffix_model(feed.cut, feed.row_taps), split)[0]


# -- the start ------------------------------------------------------------------------------------


@pytest.mark.others_long(1)
@pytest.mark.parametrize("head", ["last", "multi"])
def test_the_softened_start_answers_as_the_solved_head_a_quarter_as_surely(data, head):
    context = tiny_context(data, "half", head=head, feature_dtype="float32")
    solved, decided = tiny_head(context), tiny_settings(context)
    sure = scores_on(context, choice.attach(context, solved), decided)
    soft = scores_on(context, tuning.softened(context, solved), decided)
    np.testing.assert_allclose(soft, 0.25 * sure, atol=1e-4)
    assert (soft.argmax(1) == solved.probabilities("val").argmax(1)).all()


@pytest.mark.long
def test_tuning_starts_from_the_softened_head(data, monkeypatch):
    context = tiny_context(data, "half", epochs=1)
    solved, starts = tiny_head(context), []

    def watched(context, decided, classifier, *rest):
        starts.append(classifier.head.get_weights())
        return fit(context, decided, classifier, *rest)

    monkeypatch.setattr(tuning, "fit", watched)
    tuning.finetune(context, tiny_settings(context), solved, silent)
    [(kernel, bias)] = starts
    np.testing.assert_allclose(kernel, tuning.SOFTENING * solved.head.weights, rtol=1e-6)
    np.testing.assert_allclose(bias, tuning.SOFTENING * solved.head.bias, rtol=1e-6)


@pytest.mark.others_long(2)
@pytest.mark.parametrize(
    ("kind", "head"),
    in_turn(
        [("0.3", "avg"), ("half", "avg"), ("half", "avgmax"), ("half", "flatten"), ("0.8", "avg"),
         ("full", "avg"), ("full", "gem")],
        ["last", "multi"],
    ),
    ids=str,
)  # fmt: skip
def test_the_part_after_the_cut_gives_what_the_solved_head_gives(data, kind, head):
    ratio, pooling = kind
    context = tiny_context(data, ratio, head=head, pooling=pooling, feature_dtype="float32")
    solved, decided = tiny_head(context), tiny_settings(context)
    scores = scores_on(context, choice.attach(context, solved), decided)
    array = solved.features["val"]
    np.testing.assert_allclose(scores, array @ solved.head.weights + solved.head.bias, atol=1e-3)


# -- what trains ----------------------------------------------------------------------------------


@pytest.mark.others_long(1)
@pytest.mark.parametrize(
    ("options", "ratio"),
    in_turn(
        [
            {},
            {"layer_decay": 0.5, "label_smoothing": 0.1},
            {"unfreeze": "gradual"},  # with half of the network: each stage is traced anew
            {"ema": 0.9},
            {"balance": "weights"},
            {"balance": "oversample"},
            {"cache": False},
            {"augment": "strong"},
            {"aux_heads": 1},
        ],
        ["half", "full"],
    ),
    ids=str,
)
def test_tuning_changes_what_the_plan_frees_and_nothing_else(data, options, ratio):
    context = tiny_context(data, ratio, epochs=3, learning_rate=0.01, **options)
    decided, solved = tiny_settings(context), tiny_head(context)
    classifier = tuning.softened(context, solved)
    blocks = context.backbone.blocks[decided.plan.frozen_blocks :]
    free = {path for block in blocks for path in block.layers} | {classifier.head.path}
    before = copies(classifier.model.weights)
    fitted = fit(context, decided, classifier, TrainingData(context, decided, silent), silent)
    assert [row["epoch"] for row in fitted.best.history] == [1, 2, 3]
    assert np.isfinite([row["loss"] for row in fitted.best.history]).all()
    for old, weight in zip(before, classifier.model.weights, strict=True):
        layer, name = weight.path.rsplit("/", 1)
        trains = layer in free and name in ("kernel", "bias") and "norm" not in layer
        assert trains is not np.array_equal(old, weight), weight.path


@pytest.mark.long
def test_the_average_is_what_is_validated_and_remembered(data, monkeypatch):
    context = tiny_context(data, "half", epochs=1, learning_rate=0.05, ema=0.99)
    decided, solved = tiny_settings(context), tiny_head(context)
    classifier = tuning.softened(context, solved)
    fitted = fit(context, decided, classifier, TrainingData(context, decided, silent), silent)
    raw = scores_on(context, classifier, decided)
    for weight, value in zip(classifier.model.weights, fitted.best.last, strict=True):
        weight.assign(value)
    averaged = scores_on(context, classifier, decided)
    assert np.abs(raw - averaged).max() > 1e-3
    [row] = fitted.best.history
    assert row["val_log_loss"] == pytest.approx(validation_loss(context, averaged), abs=1e-6)


@pytest.mark.slow  # test_resume_epochs.py trains twice in each mode, and compares every bit
def test_tuning_is_repeatable(data):
    def once():
        context = tiny_context(data, "half", epochs=2, learning_rate=0.01)
        return tuning.finetune(context, tiny_settings(context), tiny_head(context), silent).result

    assert once() == once()


@pytest.mark.long
def test_the_history_begins_with_the_solved_head(data):
    context = tiny_context(data, "half", epochs=2)
    solved = tiny_head(context)
    tuned = tuning.finetune(context, tiny_settings(context), solved, silent)
    assert [row["epoch"] for row in tuned.history] == [0, 1, 2]
    assert tuned.history[0]["val_log_loss"] == pytest.approx(tuned.result.head.loss)
    assert tuned.result.epochs == 2


def test_gradual_unfreezing_frees_ever_more_until_the_plan(data):
    decided = tiny_settings(tiny_context(data, "full", epochs=7))
    found = stages(decided, "gradual")
    assert [cut for cut, _ in found] == [4, 2, 0]
    assert [e for _, epochs in found for e in epochs] == list(range(1, 8))
    assert stages(decided, "at_once") == [(0, range(1, 8))]


def test_the_loss_is_smoothed_as_the_plan_says(data):
    context = tiny_context(data, "full", label_smoothing=0.3)
    decided = tiny_settings(context)
    classifier = tuning.softened(context, tiny_head(context))
    made = optimizer(context.backbone, decided.plan, 10)
    loss = context.task.tuning.loss(decided.plan.label_smoothing)
    model = compile_suffix(classifier, 0, made, loss=loss)
    x = np.random.default_rng(0).uniform(0, 255, (6, 32, 32, 3)).astype("float32")
    y = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    scores = np.asarray(model.predict(x, verbose=0), "float64")
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    expected = -np.mean((log_p * (0.7 * y + 0.1)).sum(1))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_the_last_epoch_is_remembered_beside_the_best():
    best = BestCheckpoint()
    for epoch, loss in enumerate((0.5, 0.3, 0.4), 1):
        best.see({"epoch": epoch, "loss": 1.0}, loss, [np.array(float(epoch))])
    assert (best.epoch, best.loss, best.weights) == (2, 0.3, [np.array(2.0)])
    assert (best.last_epoch, best.last) == (3, [np.array(3.0)])


# -- what it is fed with --------------------------------------------------------------------------


def test_views_take_turns_and_each_passes_once(data, monkeypatch):
    context = tiny_context(data, "half", epochs=6, views=3)
    seen, extract = [], features.extract

    def watched(backbone, records, wanted, **more):
        seen.append(wanted[0].view.number)
        return extract(backbone, records, wanted, **more)

    monkeypatch.setattr(features, "extract", watched)
    feed = TrainingData(context, tiny_settings(context), silent)
    steps, taken = feed.steps(), []
    for number, (rows, _) in enumerate(feed.batches(first_epoch=1).take(6 * steps)):
        if number % steps == 0:
            taken.append(rows.numpy())
    assert seen == [0, 1, 2]
    kept = [feed.source("train", view).array() for view in range(3)]
    for epoch, rows in enumerate(taken):
        assert all((kept[epoch % 3] == row).all(1).any() for row in rows)
        assert not all((kept[(epoch + 1) % 3] == row).all(1).any() for row in rows)


def test_views_are_mirrored_where_the_settings_say_so(data, monkeypatch):
    context, seen, extract = tiny_context(data, "half", epochs=6, views=2), [], features.extract

    def watched(backbone, records, wanted, **more):
        seen.append(wanted[0].view)
        return extract(backbone, records, wanted, **more)

    monkeypatch.setattr(features, "extract", watched)
    for mirror in (False, True):
        TrainingData(context, tiny_settings(context, mirror=mirror), silent).source("train", 1)
    assert [view.mirror for view in seen] == [False, True]
    assert {view.augment for view in seen} == {"light"}


def test_fewer_views_are_kept_where_they_cost_more_than_they_bring(data):
    context = tiny_context(data, "half", epochs=10)
    plan = tiny_plan(context)
    plans = [dataclasses.replace(plan, frozen_compute_share=share) for share in (0.4, 0.9, 0.99)]
    assert [settings.decide(context, each).views for each in plans] == [10, 2, 1]
    assert settings.decide(context, dataclasses.replace(plan, epochs=2)).views == 2


def test_no_more_views_are_kept_than_there_is_room_for(data):
    context = tiny_context(data, "half", epochs=10, views=8)
    plan = tiny_plan(context)
    need = context.cut_bytes(plan.frozen_blocks)
    for views in (1, 3, 8):
        less = dataclasses.replace(context, room=views * need + 1)
        assert settings.decide(less, plan).views == views
    none = settings.decide(dataclasses.replace(context, room=need - 1), plan)
    assert (none.cut, none.views) == (0, 1)


@pytest.mark.parametrize(
    ("ratio", "options", "said"),
    [
        ("half", {}, "The frozen part runs once"),
        ("full", {}, "Nothing is frozen"),
        ("half", {"cache": False}, "Without a cache"),
    ],
)
def test_how_the_trained_part_is_fed_is_one_sentence(data, ratio, options, said):
    context = tiny_context(data, ratio, **options)
    assert settings.feeding(context, tiny_settings(context)).startswith(said)


@pytest.mark.long
def test_without_a_cache_nothing_is_kept(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TL_CACHE", str(tmp_path))
    context = tiny_context(data, "half", epochs=1, cache=False)
    solved = tiny_head(context)
    flip_check.decide(context, solved, silent)
    tuning.finetune(context, tiny_settings(context), solved, silent)
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert kept <= {"CACHEDIR.TAG"}  # the mark of the folder, which is of no image


def test_where_the_images_are_held_is_said_once(data):
    said = []
    context = tiny_context(data, "full")
    feed = TrainingData(context, tiny_settings(context), said.append)
    feed.source("train"), feed.source("val"), feed.source("train")
    notes = [note.text for note in said if isinstance(note, Note)]
    assert len(notes) == 1
    assert "held in memory" in notes[0]


def test_balancing_by_weights_lifts_the_rare_class(tmp_path):
    root = coloured(tmp_path / "set", 48)
    for i in range(48):  # the rare class looks like another one, so that only its share decides
        (root / "red" / f"{i:02d}.png").unlink()
        if i % 3 == 0:
            (root / "green" / f"{i:02d}.png").rename(root / "red" / f"{i:02d}.png")
    plain, even = (
        tiny_head(tiny_context(root, "head", balance=kind)).probabilities("val")[:, 2].mean()
        for kind in ("none", "weights")
    )
    assert even > 1.2 * plain


def test_the_rates_of_a_dry_run_are_those_of_the_optimizer(data):
    context = tiny_context(data, "half", learning_rate=0.01)
    backbone, plan = context.backbone, tiny_plan(context)
    assert dry_run.rates(backbone, plan) == {"head": 0.01, "backbone": 0.01}
    factors = rate_factors(backbone, 0.5)
    first, last = backbone.blocks[plan.frozen_blocks], backbone.blocks[-1]
    weights = {layer.path: layer.weights[0].path for layer in backbone.layers}
    assert dry_run.rates(backbone, dataclasses.replace(plan, layer_decay=0.5)) == {
        "head": 0.01,
        first.name: 0.01 * factors[weights[first.layers[0]]],
        last.name: 0.01 * factors[weights[last.layers[0]]],
    }
