"""What a step takes is measured and leaves no trace; no more epochs are begun than fit."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from test_from_scratch import scratch_context
from tiny import coloured, tiny_context, tiny_head, tiny_settings
from tl_cli.engine.finetune import time_budget
from tl_cli.engine.finetune.finetune import softened
from tl_cli.engine.finetune.from_scratch import random_classifier
from tl_cli.engine.finetune.state import copies
from tl_cli.results.progress import silent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 14, noise=110)


def classifier_of(context):
    if context.config.from_scratch:
        return random_classifier(context)
    return softened(context, tiny_head(context))


@pytest.mark.others_long(1)
@pytest.mark.parametrize(
    "kind",
    ["scratch", "half", "auxiliary", pytest.param("full", marks=pytest.mark.slow)],
)
def test_measuring_a_step_changes_no_weight_and_no_moment(data, kind, monkeypatch):
    if kind == "scratch":
        context = scratch_context(data)
    else:
        ratio = "half" if kind == "auxiliary" else kind
        context = tiny_context(data, ratio, aux_heads=int(kind == "auxiliary"))
    classifier, decided = classifier_of(context), tiny_settings(context)
    assert decided.batchnorm_trains is classifier.batchnorm_trains is (kind == "scratch")
    before, moved = copies(classifier.model.weights), []
    least = time_budget.least_seconds

    def watched(call):
        taken = least(call)
        now = copies(classifier.model.weights)
        moved.extend(not np.array_equal(a, b) for a, b in zip(before, now, strict=True))
        return taken

    monkeypatch.setattr(time_budget, "least_seconds", watched)
    assert time_budget.step_seconds(context, decided, classifier) > 0
    assert any(moved) is (kind == "scratch")  # the moments follow while it is measured
    for old, weight in zip(before, classifier.model.weights, strict=True):
        assert np.array_equal(old, weight), weight.path
    norms = [x for x in context.backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == 6


@pytest.mark.parametrize("scratch", [True, False])
def test_no_more_epochs_are_begun_than_fit(data, scratch):
    context = scratch_context(data, epochs=50) if scratch else tiny_context(data, epochs=50)
    classifier, decided, said = classifier_of(context), tiny_settings(context), []
    before = copies(classifier.model.weights)
    short = time_budget.fit_into_time(context, decided, classifier, 0.0, said.append)
    assert short.plan.epochs == 1
    assert "1 of 50 epochs fit" in said[0].text
    whole = time_budget.fit_into_time(context, decided, classifier, 1e6, silent)
    assert whole.plan.epochs == 50
    after = copies(classifier.model.weights)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    reasons = " ".join(short.plan.reasons)
    assert "1 epoch at" in reasons
    assert ("LP-FT" in reasons) is not scratch


def test_loading_back_and_the_report_are_left_where_nothing_is_tuned(data):
    context = tiny_context(data, "half")
    decided = tiny_settings(context)
    alone = replace(decided, plan=replace(decided.plan, strategy="head", epochs=0))
    left = time_budget.forecast(context, alone, 10.0)
    assert left == time_budget.ending_seconds(context, 10.0) and left["evaluate"] > 0
    plain = replace(context, config=context.config.effective(report=not context.config.report))
    assert ("report" in left) != ("report" in time_budget.ending_seconds(plain, 10.0))
    assert sum(time_budget.forecast(context, decided, 10.0).values()) > sum(left.values())


def test_the_views_count_in_the_time_that_is_left(data):
    context = tiny_context(data, "half", epochs=8, views=8)
    decided = tiny_settings(context)
    assert decided.views == 8
    assert time_budget.view_seconds(context, decided) > 0
    whole = tiny_context(data, "full")
    assert time_budget.view_seconds(whole, tiny_settings(whole)) == 0
    short = time_budget.most_epochs(context, decided, 1.0, 3.0, seconds=12.0)
    assert (short.plan.epochs, short.views) == (3, 3)  # 3 x 1 s + 2 x 3 s
    assert time_budget.most_epochs(context, decided, 1.0, 0.0, seconds=12.0) is decided
    assert "--max-minutes leaves time for 3 of 8 epochs" in short.plan.reasons[-1]
    tuned_for = [reason for reason in short.plan.reasons if "is solved first" in reason]
    assert len(tuned_for) == 1
    assert "for 3 epochs" in tuned_for[0]
