"""Trying plans out: what is tried, what it may cost, and that nothing is left behind."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tiny import coloured, tiny_context, tiny_head, tiny_plan
from tl_cli.engine.finetune import settings, successive_halving
from tl_cli.engine.finetune.races import Races
from tl_cli.results.progress import Note, silent
from tl_cli.results.training import CandidateResult, FinetuneResult
from tl_cli.store import resume
from tl_cli.store.run_dir import RunDir


@pytest.fixture
def context(tmp_path):
    # of many epochs, so that the budget is not all minimum
    return tiny_context(coloured(tmp_path / "data"), "auto", epochs=20)


def test_the_head_everything_and_a_middle_are_tried(context):
    plans = successive_halving.candidates(context, tiny_plan(context))
    assert [plan.strategy for plan in plans] == ["partial", "head", "full"]


@pytest.mark.long
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


def made_up(chosen, kept="solved again"):
    """Return what a tuning that costs nothing came to: the better, the more it trained."""
    loss = 1 / chosen.plan.epochs + chosen.plan.freeze_ratio / 10
    tried = (CandidateResult("head", 0.3, 0.5), CandidateResult("solved again", loss, 0.6))
    return FinetuneResult(chosen.plan.epochs, 1, kept, 0.1, 0.1, tried, "so")


def test_what_was_tried_before_a_run_was_cut_off_is_not_tried_again(context, tmp_path, monkeypatch):
    """With tunings that cost nothing; tests/test_resume_kill.py has real ones."""
    run = RunDir.create(tmp_path / "run")
    resume.begin(run, {})
    advised, head, counted = tiny_plan(context), tiny_head(context), []

    def decided(races=None, die=0):
        def tuned(context, chosen, head, on_progress):
            counted.append(None)
            if len(counted) == die:
                raise KeyboardInterrupt
            return SimpleNamespace(result=made_up(chosen))

        counted.clear()
        monkeypatch.setattr(successive_halving, "finetune", tuned)
        return successive_halving.decide(context, advised, head, silent, mirror=False, races=races)

    whole, tunings = decided(), len(counted)
    with pytest.raises(KeyboardInterrupt):
        decided(Races(run), die=3)
    assert decided(Races(run)) == whole
    assert len(counted) == tunings - 2
    assert decided(Races(run)) == whole and not counted  # nothing is left to try
    resume.forget(run)
    assert not (run / resume.FOLDER).exists()


def test_a_result_holds_for_the_same_start_and_settings_alone(context, tmp_path):
    run, head = RunDir.create(tmp_path / "run"), [np.ones(3)]
    resume.begin(run, {})
    tried = (CandidateResult("head", 0.1 + 0.2, 0.5), CandidateResult("solved again", 1 / 3, 0.6))
    result = FinetuneResult(2, 1, "head", -1e-17, None, tried, "so")
    chosen = settings.decide(context, tiny_plan(context), mirror=False)
    Races(run).keep(chosen, head, result)
    races = Races(run)
    assert races.result(chosen, head) == result  # to the last bit
    assert races.result(chosen, [np.nextafter(np.ones(3), 2)]) is None
    assert races.result(replace(chosen, mirror=True), head) is None
    assert Races().result(chosen, head) is None
    kept = json.loads((run / resume.RACES).read_text())
    [key] = kept
    for damaged in ({"gain": "x"}, {"candidates": []}, {"candidates": [{"name": "head"}]}):
        run.write_json(resume.RACES, {key: kept[key] | damaged})
        assert Races(run).result(chosen, head) is None


@pytest.mark.long
@pytest.mark.parametrize(
    ("kept", "strategies"), [("head", {"head"}), ("tuned", {"partial", "full"})]
)
def test_the_head_is_taken_where_nothing_beats_it(context, monkeypatch, kept, strategies):
    def tuned(context, chosen, head, on_progress):
        return SimpleNamespace(result=made_up(chosen, kept))

    monkeypatch.setattr(successive_halving, "finetune", tuned)
    plan = successive_halving.decide(
        context, tiny_plan(context), tiny_head(context), silent, mirror=False
    )
    assert plan.strategy in strategies
    assert ("no gain" in plan.reasons[0]) is (kept == "head")
    assert not any("You asked" in reason for reason in plan.reasons)
