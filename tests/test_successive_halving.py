"""Trying plans out: what is tried, what it may cost, and that nothing is left behind."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import coloured, tiny_context

from tl_cli.engine.finetune import successive_halving
from tl_cli.engine.head import choice
from tl_cli.results.progress import Note, silent


@pytest.fixture
def context(tmp_path):
    found = tiny_context(coloured(tmp_path / "data"), "auto")
    # of many epochs, so that the budget is not all minimum
    return replace(found, plan=replace(found.plan, epochs=20))


def solved(context):
    return choice.solve(context, choice.look(context, silent))


def test_the_head_everything_and_a_middle_are_tried(context):
    plans = successive_halving.candidates(context)
    assert [plan.strategy for plan in plans] == ["partial", "head", "full"]


def test_it_takes_the_best_within_its_budget_and_leaves_the_weights(context, monkeypatch):
    head = solved(context)
    before = [np.array(w) for w in context.backbone.model.get_weights()]
    said = []
    spent = []
    tried = successive_halving._tried

    def watched(context, head, plan, epochs, on_progress):
        spent.append(successive_halving.cost(plan) * epochs)
        return tried(context, head, plan, epochs, on_progress)

    monkeypatch.setattr(successive_halving, "_tried", watched)
    decided = successive_halving.decide(context, head, said.append)
    whole = max(
        successive_halving.cost(plan) * plan.epochs
        for plan in successive_halving.candidates(context)
    )
    assert sum(spent) <= successive_halving.BUDGET * whole
    assert decided.plan.policy == "trial"
    assert decided.plan.reasons[0].startswith("Tried out on validation")
    assert not any("You asked" in reason for reason in decided.plan.reasons)
    assert sum(isinstance(n, Note) and n.text.startswith("Tried freeze") for n in said) >= 3
    for old, new in zip(before, context.backbone.model.get_weights(), strict=True):
        assert (old == new).all()


def test_where_nothing_beats_the_solved_head_the_head_is_taken(context, monkeypatch):
    head = solved(context)
    tried = successive_halving._tried

    def worse(*arguments):
        return replace(tried(*arguments), kept="head", tuned_log_loss=9.0)

    monkeypatch.setattr(successive_halving, "_tried", worse)
    plan = successive_halving.decide(context, head, silent).plan
    assert plan.strategy == "head"
    assert "no sure gain" in plan.reasons[0]
    assert not any("You asked" in reason for reason in plan.reasons)
