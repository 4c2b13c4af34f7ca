"""Trying plans out: what is tried, what it may cost, and that nothing is left behind."""

from dataclasses import replace

import numpy as np
import pytest

from tiny import coloured, tiny_context, tiny_head, tiny_plan
from tl_cli.engine.finetune import successive_halving
from tl_cli.results.progress import Note, silent


@pytest.fixture
def context(tmp_path):
    # of many epochs, so that the budget is not all minimum
    return tiny_context(coloured(tmp_path / "data"), "auto", epochs=20)


def test_the_head_everything_and_a_middle_are_tried(context):
    plans = successive_halving.candidates(context, tiny_plan(context))
    assert [plan.strategy for plan in plans] == ["partial", "head", "full"]


def test_it_takes_the_best_within_its_budget_and_leaves_the_weights(context, monkeypatch):
    before = [np.array(w) for w in context.backbone.model.get_weights()]
    said, spent, mirrors = [], [], []
    finetune = successive_halving.finetune

    def watched(context, settings, head, on_progress):
        spent.append(successive_halving.cost(settings.plan) * settings.plan.epochs)
        mirrors.append(settings.mirror)
        return finetune(context, settings, head, on_progress)

    monkeypatch.setattr(successive_halving, "finetune", watched)
    advised = tiny_plan(context)
    plan = successive_halving.decide(context, advised, tiny_head(context), said.append, mirror=True)
    whole = max(
        successive_halving.cost(plan) * plan.epochs
        for plan in successive_halving.candidates(context, advised)
    )
    assert sum(spent) <= successive_halving.BUDGET * whole
    assert set(mirrors) == {True}
    assert plan.policy == "trial"
    assert plan.epochs in (0, 20)  # what is run is no short one
    assert plan.reasons[0].startswith("Tried out on validation")
    assert not any("You asked" in reason for reason in plan.reasons)
    assert sum(isinstance(n, Note) and n.text.startswith("Tried freeze") for n in said) >= 3
    for old, new in zip(before, context.backbone.model.get_weights(), strict=True):
        assert (old == new).all()


@pytest.mark.parametrize(
    ("kept", "strategies"), [("head", {"head"}), ("tuned", {"partial", "full"})]
)
def test_the_head_is_taken_where_nothing_beats_it(context, monkeypatch, kept, strategies):
    tried = successive_halving._tried

    def judged(*arguments, **more):
        return replace(tried(*arguments, **more), kept=kept)

    monkeypatch.setattr(successive_halving, "_tried", judged)
    plan = successive_halving.decide(
        context, tiny_plan(context), tiny_head(context), silent, mirror=False
    )
    assert plan.strategy in strategies
    assert ("no gain" in plan.reasons[0]) is (kept == "head")
    assert not any("You asked" in reason for reason in plan.reasons)
