"""The phases: what trains, what must not, what is kept, and that parts and whole agree."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy.special import softmax
from tiny import coloured, tiny_backbone, tiny_context

from tl_cli.engine import features, train
from tl_cli.engine.finetune import finetune, fit, flip_check, time_budget
from tl_cli.engine.finetune.optimizer import Average, BlockwiseAdamW, Cosine, rate_factors
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.head import choice
from tl_cli.engine.metrics.figures import log_losses
from tl_cli.engine.networks import classifier
from tl_cli.results.progress import Note, silent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 14, noise=110)


def start(context, head="multi"):
    pooled = choice.look(context, silent)
    solved = choice.solve(context, pooled)
    built = classifier.build(
        context.backbone, context.manifest.classes, solved.taps, context.config.pooling
    )
    built.set_head(solved.head.weights, solved.head.bias)
    return built, solved


@pytest.mark.parametrize("head", ["last", "multi"])
@pytest.mark.parametrize("pooling", ["avg", "max", "avgmax", "flatten", "gem"])
def test_head_features_and_whole_network_agree(data, head, pooling):
    context = tiny_context(data, "head", head=head, pooling=pooling)
    built, solved = start(context)
    assert solved.kind == head
    train.check_whole(context, built, solved.probabilities)
    with pytest.raises(AssertionError, match="differ"):
        train.check_whole(context, built, lambda split: 1 - solved.probabilities(split))


@pytest.mark.parametrize("head", ["last", "multi"])
@pytest.mark.parametrize(
    ("ratio", "pooling"),
    [("0.3", "avg"), ("half", "avg"), ("half", "avgmax"), ("half", "flatten"), ("0.8", "avg"),
     ("full", "avg"), ("full", "gem")],
)  # fmt: skip
def test_the_part_after_the_cut_gives_what_the_whole_gives(data, head, ratio, pooling):
    context = tiny_context(data, ratio, head=head, pooling=pooling, feature_dtype="float32")
    built, solved = start(context)
    feed = TrainingData(context, silent)
    found = feed.predict(built.suffix_model(feed.cut, feed.row_taps), "val")
    assert np.abs(found - solved.probabilities("val")).max() < 1e-4


@pytest.mark.parametrize("ratio", ["half", "full"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layer_decay": 0.5, "label_smoothing": 0.1},
        {"ema": 0.9},
        {"unfreeze": "gradual"},
        {"balance": "weights"},
        {"balance": "oversample"},
        {"augment": "strong"},
        {"cache": False},
    ],
    ids=str,
)
def test_tuning_changes_what_the_plan_frees_and_nothing_else(data, ratio, options):
    context = tiny_context(data, ratio, epochs=3, learning_rate=0.01, **options)
    built, solved = start(context)
    frozen = [w for b in context.backbone.blocks[: context.plan.frozen_blocks] for w in b.layers]
    before = {w.path: np.array(w) for w in built.model.weights}
    tuned = finetune.tune(context, built, solved, silent)
    assert len(tuned.history) == 4
    assert np.isfinite([row["loss"] for row in tuned.history[1:]]).all()
    changed = {w.path for w in built.model.weights if not np.array_equal(before[w.path], w)}
    if tuned.kept:
        assert any("conv5" in path for path in changed)
        assert any("classifier" in path for path in changed)
    assert not any("norm" in path for path in changed)
    assert not any(path.startswith(tuple(frozen)) for path in changed if frozen)
    train.check_whole(context, built, tuned.probabilities if tuned.kept else solved.probabilities)


def test_a_tuned_network_that_is_worse_is_not_kept(data):
    context = tiny_context(data, "full", epochs=1, learning_rate=1.0)
    built, solved = start(context)
    before = [np.array(w) for w in built.model.weights]
    tuned = finetune.tune(context, built, solved, silent)
    assert tuned.facts.kept == "head"
    assert "did not surely help" in tuned.facts.reason
    assert all(np.array_equal(a, b) for a, b in zip(before, built.model.weights, strict=True))


def test_the_temperature_is_folded_into_the_head(data):
    context = tiny_context(data, "half")
    built, solved = start(context)
    built.set_head(5 * solved.head.weights, 5 * solved.head.bias)
    images = features.images(context.manifest.of("val"), context.backbone.image_size)
    sure = np.asarray(built.model(images, training=False))
    labels = (sure.argmax(1) + (np.arange(len(sure)) % 4 == 0)) % sure.shape[1]  # a quarter wrong
    best = fit.BestCheckpoint()
    best.see(fit.row(1, 0.0, 0.0, sure, labels), built.model.weights, sure)
    built.set_head(0 * solved.head.weights, 0 * solved.head.bias)
    temperature = fit.restore_and_calibrate(built, best, labels)
    now = np.asarray(built.model(images, training=False))
    assert temperature > 2
    np.testing.assert_allclose(now, softmax(np.log(sure) / temperature, axis=1), atol=1e-4)
    assert log_losses(now, labels).mean() < log_losses(sure, labels).mean()


@pytest.mark.parametrize(
    ("gain", "stderr", "images", "sure"),
    [
        # Student's t at 97.5 %: 12.7 for two images, 2.26 for ten, 1.98 for a hundred
        (0.8, 0.4, 100, True),
        (0.7, 0.4, 100, False),
        (0.8, 0.4, 10, False),
        (1.0, 0.4, 10, True),
        (0.8, 0.4, 2, False),
        (9.0, float("inf"), 1, False),
    ],
)
def test_few_validation_images_need_a_larger_gain(gain, stderr, images, sure):
    assert finetune.surely_gained(gain, stderr, images) is sure


def test_tuning_is_repeatable(data):
    def once():
        context = tiny_context(data, "half", epochs=2, learning_rate=0.01)
        built, solved = start(context)
        return finetune.tune(context, built, solved, silent).facts

    assert once() == once()


def test_views_take_turns_and_each_passes_once(data, monkeypatch):
    context = tiny_context(data, "half", epochs=6, views=3)
    seen = []
    from tl_cli.engine import features

    extract = features.extract

    def watched(backbone, records, wanted, **more):
        seen.append(wanted[0].view.number)
        return extract(backbone, records, wanted, **more)

    monkeypatch.setattr(features, "extract", watched)
    feed = TrainingData(context, silent)
    steps, taken = feed.steps(), []
    for number, (rows, _) in enumerate(feed.batches(first_epoch=1).take(6 * steps)):
        if number % steps == 0:
            taken.append(rows.numpy())
    assert seen == [0, 1, 2]
    kept = [feed.source("train", view).array() for view in range(3)]
    for epoch, rows in enumerate(taken):
        assert all((kept[epoch % 3] == row).all(1).any() for row in rows)
        assert not all((kept[(epoch + 1) % 3] == row).all(1).any() for row in rows)


def test_gradual_unfreezing_frees_ever_more_until_the_plan(data):
    context = tiny_context(data, "full", epochs=7, unfreeze="gradual")
    cuts = [cut for cut, _ in finetune.stages(context)]
    assert cuts == [4, 2, 0]
    assert [e for _, epochs in finetune.stages(context) for e in epochs] == list(range(1, 8))


def test_earlier_blocks_have_smaller_rates():
    backbone = tiny_backbone()
    factors = rate_factors(backbone, 0.5)
    by_layer = {layer.name: factors[layer.weights[0].path] for layer in backbone.layers}
    assert by_layer["conv5"] == 0.5
    assert by_layer["conv0"] == 0.5**6
    assert rate_factors(backbone, 1.0) == {}


@pytest.mark.parametrize("steps", [1, 2, 15, 200])
def test_the_rate_is_that_of_keras_cosine_with_a_warm_up(steps):
    warm = max(1, round(0.1 * steps))
    known = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm), warmup_target=1e-3, warmup_steps=warm
    )
    rates = [float(Cosine(1e-3, steps)(i)) for i in range(steps + 2)]
    np.testing.assert_allclose(rates, [float(known(i)) for i in range(steps + 2)], atol=1e-9)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[0] == 0.0


def test_the_optimizer_obeys_the_factors():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="a"),
                              keras.layers.Dense(2, name="b")])  # fmt: skip
    before = [np.array(w) for w in model.weights]
    factors = {w.path: 0.0 for w in model.get_layer("a").weights}
    model.compile(BlockwiseAdamW(0.1, weight_decay=0.0, factors=factors), "mse")
    model.train_on_batch(np.ones((8, 4)), np.ones((8, 2)))
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True)]
    assert changed == [False, False, True, True]


def test_the_average_is_an_average():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    average = Average(0.5)
    average.set_model(model)
    values = []
    for value in (1.0, 2.0, 4.0):
        model.trainable_variables[0].assign([[value]])
        average.on_train_batch_end(0)
        values.append(float(average.values[0][0, 0]))
    m2, m3 = 3 / 12, 4 / 13  # (1 + t) / (10 + t) while it is below 0.5
    assert values == pytest.approx([1.0, m2 * 1 + (1 - m2) * 2, m3 * values[1] + (1 - m3) * 4])


def test_balancing_by_weights_lifts_the_rare_class(tmp_path):
    root = coloured(tmp_path / "set", 48)
    for i in range(48):  # the rare class looks like another one, so that only its share decides
        (root / "red" / f"{i:02d}.png").unlink()
        if i % 3 == 0:
            (root / "green" / f"{i:02d}.png").rename(root / "red" / f"{i:02d}.png")
    plain = start(tiny_context(root, "head"))[1].probabilities("val")[:, 2].mean()
    even = start(tiny_context(root, "head", balance="weights"))[1].probabilities("val")[:, 2].mean()
    assert even > 1.2 * plain


def test_no_more_epochs_are_begun_than_fit(data):
    context = tiny_context(data, "half", epochs=50)
    built, _ = start(context)
    before = [np.array(w) for w in built.model.weights]
    said = []
    short = time_budget.fit_into_time(context, built, 0.0, said.append)
    assert short.plan.epochs == 1
    assert "1 of 50 epochs fit" in said[0].text
    assert time_budget.fit_into_time(context, built, 1e6, silent).plan.epochs == 50
    assert all(np.array_equal(a, b) for a, b in zip(before, built.model.weights, strict=True))


def test_fewer_views_are_kept_where_they_cost_more_than_they_bring(data):
    from dataclasses import replace as changed

    context = tiny_context(data, "half", epochs=10)
    views = [
        changed(context, plan=changed(context.plan, frozen_compute_share=share)).views
        for share in (0.4, 0.9, 0.99)
    ]
    assert views == [10, 2, 1]
    assert changed(context, plan=changed(context.plan, epochs=2)).views == 2


def test_the_views_count_in_the_time_that_is_left(data):
    context = tiny_context(data, "half", epochs=8, views=8)
    assert context.views == 8
    assert time_budget.view_seconds(context) > 0
    assert time_budget.view_seconds(tiny_context(data, "full")) == 0
    epoch = 1.0
    with_views = time_budget.most_epochs(context, epoch, 3.0, seconds=12.0)
    assert (with_views.plan.epochs, with_views.views) == (3, 3)  # 3 x 1 s + 2 x 3 s
    assert time_budget.most_epochs(context, epoch, 0.0, seconds=12.0) is context
    assert "--max-minutes leaves time for 3 of 8 epochs" in with_views.plan.reasons[-1]
    tuned_for = [reason for reason in with_views.plan.reasons if "is solved first" in reason]
    assert len(tuned_for) == 1
    assert "for 3 epochs" in tuned_for[0]


def test_without_a_cache_nothing_is_kept(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TL_CACHE", str(tmp_path))
    context = tiny_context(data, "full", epochs=1, cache=False)
    _, solved = start(context)
    flip_check.decide(context, solved, silent)
    next(iter(TrainingData(context, silent).batches(1)))
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_where_the_images_are_held_is_said_once(data):
    said = []
    feed = TrainingData(tiny_context(data, "full"), said.append)
    feed.source("train"), feed.source("val"), feed.source("train")
    notes = [note.text for note in said if isinstance(note, Note)]
    assert len(notes) == 1
    assert "held in memory" in notes[0]


def test_the_rates_of_a_dry_run_are_those_of_the_optimizer(data):
    from tl_cli.engine import dry_run

    even = tiny_context(data, "half", learning_rate=0.01)
    assert dry_run.rates(even) == {"head": 0.01, "backbone": 0.01}
    context = replace(even, plan=replace(even.plan, layer_decay=0.5))
    factors = rate_factors(context.backbone, 0.5)
    first, last = context.backbone.blocks[context.plan.frozen_blocks], context.backbone.blocks[-1]
    weights = {layer.path: layer.weights[0].path for layer in context.backbone.layers}
    assert dry_run.rates(context) == {
        "head": 0.01,
        first.name: 0.01 * factors[weights[first.layers[0]]],
        last.name: 0.01 * factors[weights[last.layers[0]]],
    }
