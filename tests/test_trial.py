"""Trying plans out: what is tried, what it may cost, and that nothing is left behind."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import coloured, tiny_job

from tl_cli.engine import heads, trial
from tl_cli.results import Note, silent


@pytest.fixture
def job(tmp_path):
    found = tiny_job(coloured(tmp_path / "data"), "auto")
    # of many epochs, so that the budget is not all minimum
    return replace(found, plan=replace(found.plan, epochs=20))


def solved(job):
    return heads.solve(job, heads.look(job, silent))


def test_the_head_everything_and_a_middle_are_tried(job):
    plans = trial.candidates(job)
    assert [plan.strategy for plan in plans] == ["partial", "head", "full"]


def test_it_takes_the_best_within_its_budget_and_leaves_the_weights(job, monkeypatch):
    head = solved(job)
    before = [np.array(w) for w in job.backbone.model.get_weights()]
    said = []
    spent = []
    tried = trial._tried

    def watched(job, head, plan, epochs, on_progress):
        spent.append(trial.cost(plan) * epochs)
        return tried(job, head, plan, epochs, on_progress)

    monkeypatch.setattr(trial, "_tried", watched)
    decided = trial.decide(job, head, said.append)
    whole = max(trial.cost(plan) * plan.epochs for plan in trial.candidates(job))
    assert sum(spent) <= trial.BUDGET * whole
    assert decided.plan.policy == "trial"
    assert decided.plan.reasons[0].startswith("Tried out on validation")
    assert not any("You asked" in reason for reason in decided.plan.reasons)
    assert sum(isinstance(n, Note) and n.text.startswith("Tried freeze") for n in said) >= 3
    for old, new in zip(before, job.backbone.model.get_weights(), strict=True):
        assert (old == new).all()


def test_where_nothing_beats_the_solved_head_the_head_is_taken(job, monkeypatch):
    head = solved(job)
    tried = trial._tried

    def worse(*arguments):
        return replace(tried(*arguments), kept="head", tuned_log_loss=9.0)

    monkeypatch.setattr(trial, "_tried", worse)
    plan = trial.decide(job, head, silent).plan
    assert plan.strategy == "head"
    assert "no sure gain" in plan.reasons[0]
    assert not any("You asked" in reason for reason in plan.reasons)
