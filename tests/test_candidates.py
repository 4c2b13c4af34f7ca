"""What may be saved: judged alike, the best one taken, and put in place so that parts are whole."""

import dataclasses

import numpy as np
import pytest
from scipy.special import softmax

from conftest import in_turn
from tiny import coloured, tiny_backbone, tiny_context, tiny_head, tiny_settings
from tl_cli.engine.finetune.candidates import (
    AGAIN,
    HEAD,
    TUNED,
    Candidate,
    candidates,
    choose,
    from_head,
    judged,
    put_in_place,
)
from tl_cli.engine.finetune.finetune import softened
from tl_cli.engine.finetune.state import assign, copies
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.finetune.validation import calibrated
from tl_cli.engine.head import choice, solver
from tl_cli.engine.head.linear_head import fit_temperature
from tl_cli.engine.metrics.figures import log_losses
from tl_cli.engine.predict import probabilities
from tl_cli.results.progress import silent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 16, noise=110)


@pytest.fixture(scope="module")
def context(data):
    return tiny_context(data, "half", head="last", feature_dtype="float32")


@pytest.fixture(scope="module")
def solved(context):
    return tiny_head(context)


def stirred(classifier, frozen, seed):
    """Return the classifier's weights with noise in what is trained, as an epoch may leave them."""
    free = {w.path for layer in classifier.freeze_up_to(frozen) for w in layer.weights}
    rng = np.random.default_rng(seed)
    return [
        np.array(w) * rng.uniform(0.7, 1.4, w.shape).astype("float32") if w.path in free
        else np.array(w)
        for w in classifier.model.weights
    ]  # fmt: skip


def tuned(context):
    """Return a classifier, the blocks that stay frozen, the candidates after a made-up epoch."""
    context.backbone.model.set_weights(tiny_backbone().model.get_weights())  # as it was at first
    decided, solved = tiny_settings(context), tiny_head(context)
    classifier = softened(context, solved)
    start = copies(classifier.model.weights)
    assign(classifier.model.weights, stirred(classifier, decided.plan.frozen_blocks, 1))
    data = TrainingData(context, decided, silent)
    model = classifier.suffix_model(data.cut, data.row_taps)
    made = candidates(context, classifier, model, data, solved, start)
    return classifier, decided.plan.frozen_blocks, made


# -- which one is taken ---------------------------------------------------------------------------


def plan_of(context):
    return tiny_settings(context).plan


def scored(context, name, *, wrong, sure=3.0, splits=("val",)):
    """Return a candidate that names a wrong class for every `wrong`th image; 0: for none."""
    scores = {}
    for split in splits:
        labels = context.labels(split)
        if wrong:
            labels = (labels + (np.arange(len(labels)) % wrong == 0)) % 3
        scores[split] = sure * np.eye(3)[labels]
    return Candidate(name, [], scores)


def test_the_gain_is_that_of_the_calibrated_log_loss(context):
    head, again = scored(context, HEAD, wrong=3), scored(context, AGAIN, wrong=0)
    chosen, gain, error = choose(context, plan_of(context), head, again)
    assert chosen is again
    labels = context.labels("val")
    losses = [log_losses(calibrated(context, c.scores["val"]), labels) for c in (head, again)]
    assert gain == pytest.approx(losses[0].mean() - losses[1].mean())
    difference = losses[0] - losses[1]
    assert error == pytest.approx(difference.std(ddof=1) / np.sqrt(len(labels)))
    assert judged(context, again).loss == pytest.approx(losses[1].mean())


def test_too_sure_a_candidate_is_judged_by_its_answers(context):
    head, sure = scored(context, HEAD, wrong=3), scored(context, AGAIN, wrong=6, sure=60.0)
    labels = context.labels("val")
    raw = [log_losses(softmax(c.scores["val"], axis=1), labels).mean() for c in (head, sure)]
    assert raw[1] > raw[0]
    assert choose(context, plan_of(context), head, sure)[0] is sure


def test_what_is_surely_worse_than_the_head_is_not_taken(context):
    head, again = scored(context, HEAD, wrong=0), scored(context, AGAIN, wrong=2)
    chosen, gain, _ = choose(context, plan_of(context), head, again)
    assert chosen.name == HEAD
    assert gain < 0


@pytest.mark.parametrize(("images", "kept"), [(9, HEAD), (10, AGAIN)])
def test_fewer_than_ten_validation_images_cannot_judge(context, images, kept):
    held = context.manifest.of("val")[:images]
    records = [*context.manifest.of("train"), *held]
    few = dataclasses.replace(context, manifest=context.manifest.with_records(records))
    chosen, gain, error = choose(
        few, plan_of(few), scored(few, HEAD, wrong=2), scored(few, AGAIN, wrong=0)
    )
    assert chosen.name == kept
    assert gain > 0
    assert (error is None) is (kept == HEAD)


def test_the_test_images_decide_nothing(context):
    made = [scored(context, HEAD, wrong=3), scored(context, AGAIN, wrong=6)]
    for name in (0, 1):
        made[name].scores["test"] = scored(context, "", wrong=name, splits=("test",)).scores["test"]
    assert choose(context, plan_of(context), *made)[0].name == AGAIN
    assert judged(context, made[0]).test_figure == 1.0
    assert judged(context, made[1]).test_figure == 0.0


# -- put in place ---------------------------------------------------------------------------------


@pytest.mark.others_long(1)
@pytest.mark.parametrize(
    ("kind", "head"),
    in_turn(
        [("half", "avg"), ("half", "max"), ("half", "avgmax"), ("half", "flatten"), ("half", "gem"),
         ("0.8", "avg"), ("full", "avgmax")],
        ["last", "multi"],
    ),
    ids=str,
)  # fmt: skip
def test_each_candidate_in_place_is_a_whole_network_that_says_what_the_parts_said(data, kind, head):
    ratio, pooling = kind
    context = tiny_context(data, ratio, head=head, pooling=pooling, feature_dtype="float32")
    pretrained = {w.path: np.array(w) for w in context.backbone.model.weights}
    classifier, frozen, made = tuned(context)
    assert [c.name for c in made] == [HEAD, TUNED, AGAIN]
    fixed = {path for block in context.backbone.blocks[:frozen] for path in block.layers}
    for candidate in made:
        trained = put_in_place(context, classifier, candidate)
        whole = probabilities(trained.classifier, context.manifest.of("val"), silent)
        np.testing.assert_allclose(whole, trained.fitted, atol=2e-3, err_msg=candidate.name)
        np.testing.assert_allclose(trained.held_out.sum(1), 1, atol=1e-5)
        same = {
            w.path: np.array_equal(pretrained[w.path], w) for w in context.backbone.model.weights
        }
        assert all(same[p] for p in same if p.rsplit("/", 1)[0] in fixed or "norm" in p)
        assert all(same.values()) is (candidate.name == HEAD)


@pytest.mark.long
def test_again_is_solved_on_the_tuned_features(context):
    classifier, _, (_, candidate, again) = tuned(context)
    assert candidate.weights is again.weights
    assign(classifier.model.weights, again.weights)
    features = classifier.pooled_model(0, (), context.taps[-1:]).predict_on_batch(
        np.concatenate([_pixels(context, "val")])
    )
    np.testing.assert_allclose(again.solved.features["val"], features, rtol=1e-3, atol=1e-3)


def _pixels(context, split):
    from tl_cli.engine import features

    return features.images(context.manifest.of(split), context.backbone.image_size)


def test_the_tuned_head_is_divided_by_the_temperature_that_validation_asks_for(context):
    classifier, _, (_, candidate, _) = tuned(context)
    candidate.scores["val"] *= 20  # far too sure
    trained = put_in_place(context, classifier, candidate)
    temperature = fit_temperature(candidate.scores["val"], context.labels("val"))
    assert temperature > 2
    expected = softmax(candidate.scores["val"] / temperature, axis=1)
    np.testing.assert_allclose(trained.fitted, expected, atol=1e-6)
    np.testing.assert_allclose(
        trained.classifier.head.get_weights()[0], candidate.weights[-2] / temperature, rtol=1e-5
    )


# -- solved on training and validation images together --------------------------------------------


def with_labels(context, split, labels):
    """Return the context with other labels for the images of a split."""
    fresh = iter(labels)
    records = [
        dataclasses.replace(r, label=context.classes[next(fresh)]) if r.split == split else r
        for r in context.manifest.records
    ]
    return dataclasses.replace(context, manifest=context.manifest.with_records(records))


def shuffled(context):
    labels = np.random.default_rng(3).permutation(context.labels("val"))
    assert (labels != context.labels("val")).any()
    return with_labels(context, "val", labels)


def test_the_refit_head_is_solved_on_training_and_validation_images(context, solved):
    head = choice.refit(context, solved)
    both = np.concatenate([solved.features["train"], solved.features["val"]])
    expected = solver.solve(both, context.labels("train", "val"), 3, groups=None, seed=0)
    np.testing.assert_allclose(head.weights, expected.weights, rtol=1e-6)
    assert not np.allclose(head.weights, solved.head.weights, rtol=1e-3)
    other = choice.refit(shuffled(context), solved)
    assert not np.allclose(head.weights, other.weights, rtol=1e-3)


def test_without_refit_it_is_the_solved_head(context, solved):
    plain = dataclasses.replace(context, config=context.config.effective(refit=False))
    assert np.array_equal(choice.refit(plain, solved).weights, solved.head.weights)
    assert np.array_equal(choice.refit(plain, solved).bias, solved.head.bias)
    np.testing.assert_allclose(choice.refit(plain, solved, 2.0).weights, solved.head.weights / 2)
    assert from_head(plain, solved).refit is False
    assert from_head(context, solved).refit is True


def test_the_refit_head_is_made_less_sure_by_as_much_as_the_solved_one(context, solved):
    """Its raw scores are divided by what those of the solved head are divided by in the end."""
    both = np.concatenate([solved.features["train"], solved.features["val"]])
    raw = solver.solve(both, context.labels("train", "val"), 3, seed=0)
    made = choice.refit(context, solved, 1.5)
    assert abs(raw.temperature / solved.head.temperature - 1) > 0.01
    np.testing.assert_allclose(
        made.weights * solved.head.temperature * 1.5, raw.weights * raw.temperature, rtol=1e-5
    )


def test_the_refit_head_is_of_the_kind_that_the_training_images_chose(context, solved, monkeypatch):
    """Raw scores of ridge and of logistic regression are not of one scale."""
    monkeypatch.setattr(solver, "LOGISTIC_ABOVE", len(context.labels("train")))
    monkeypatch.setattr(solver, "_better", lambda *_: True)
    assert solved.head.kind == choice.refit(context, solved).kind == "ridge"


@pytest.mark.long
def test_what_is_told_of_validation_never_saw_its_labels(context, solved):
    other = shuffled(context)
    one, two = from_head(context, solved), from_head(other, solved)
    assert np.array_equal(one.held_out, two.held_out)
    assert np.abs(one.fitted - two.fitted).max() > 1e-3  # the head that is saved did
    made, remade = tuned(context)[-1], tuned(other)[-1]
    for ours, theirs in zip(made, remade, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_allclose(ours.scores["val"], theirs.scores["val"], atol=1e-6)


def test_a_candidate_s_figures_are_those_of_the_head_without_the_validation_images(context):
    classifier, *_, made = tuned(context)
    for candidate in made[1:]:
        trained = put_in_place(context, classifier, candidate)
        expected = calibrated(context, candidate.scores["val"])
        np.testing.assert_allclose(trained.held_out, expected, atol=1e-6)


def test_on_fitted_features_all_depths_are_joined_whatever_the_folds_say(context):
    auto = dataclasses.replace(context, config=context.config.effective(head="auto"))
    *early, last = auto.widths(auto.taps)
    rng = np.random.default_rng(0)

    def features(split):  # the last depth tells the classes apart, the others are noise
        labels = auto.labels(split)
        told = np.eye(last)[labels] + rng.normal(0, 0.05, (len(labels), last))
        return np.hstack([rng.normal(0, 1, (len(labels), sum(early))), told]).astype("float32")

    pooled = {split: features(split) for split in ("train", "val")}
    assert choice.solve_on(auto, pooled).kind == "last"
    again = choice.solve_on(auto, pooled, fitted=True)
    assert again.kind == "multi" and again.taps == auto.taps
    assert choice.solve_on(context, pooled, fitted=True).kind == "last"  # where that was asked for
