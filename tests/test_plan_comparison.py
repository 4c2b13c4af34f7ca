"""A row a plan with its own figures: what was tuned, kept or not; ties are called ties."""

import pytest

from tl_cli import catalog
from tl_cli.plan.blocks import nearest_cut
from tl_cli.results.plan_comparison import PlanComparison, PlanRow, plan_row, same_plan

BLOCKS = catalog.get(catalog.DEFAULT).blocks
SECONDS = {"build": 2.0, "features": 9.0, "head": 1.0, "tune": 5.0, "report": 3.0, "total": 20.0}
SOLVED = {"name": "head", "log_loss": 0.5, "accuracy": 0.8, "test_accuracy": 0.79}
AGAIN = {"name": "solved again", "log_loss": 0.7, "accuracy": 0.75, "test_accuracy": None}


def told(strategy="partial", tune=None, solved=SOLVED, scratch=None):
    plan = {"strategy": strategy, "freeze_ratio": 0.5, "frozen_blocks": 9}
    metrics = {"val": {"intervals": {"log_loss": [0.4, 0.8]}}, "test": {"accuracy": 0.6}}
    return {"run": "runs/x", "plan": plan, "tune": tune, "solved": solved, "scratch": scratch,
            "metrics": metrics, "seconds": SECONDS}  # fmt: skip


def row(name, loss, seconds=10.0, stderr=0.01, **more):
    facts = {"run": name, "strategy": "partial", "freeze_ratio": 0.5, "frozen_blocks": 9,
             "same_as": "", "accuracy": 0.8, "test_accuracy": None, "kept": True}  # fmt: skip
    return PlanRow(name=name, log_loss=loss, seconds=seconds, stderr=stderr, **{**facts, **more})


def test_a_tuning_that_was_not_kept_has_its_own_figures():
    tune = {"kept": "head", "gain_stderr": 0.03, "candidates": [SOLVED, AGAIN]}
    found = plan_row("half", told(tune=tune))
    assert (found.log_loss, found.accuracy, found.kept) == (0.7, 0.75, False)
    assert found.stderr == 0.03
    assert found.seconds == 6.0  # without what all plans share


def test_a_head_is_judged_as_the_others_are_and_a_training_from_scratch_by_its_best_epoch():
    found = plan_row("head", told("head"))
    assert (found.log_loss, found.stderr, found.kept) == (0.5, 0.0, True)
    scratch = {"epochs": 3, "best_epoch": 2, "log_loss": 1.2, "accuracy": 0.4}
    found = plan_row("scratch", told("scratch", solved=None, scratch=scratch))
    assert (found.log_loss, found.test_accuracy) == (1.2, 0.6)
    assert found.stderr == pytest.approx(0.1, rel=0.03)


def test_a_tuning_that_came_to_no_number_is_a_row_without_figures():
    tune = {"kept": "head", "gain_stderr": None, "candidates": [SOLVED]}
    found = PlanComparison((row("head", 0.5), plan_row("full", told(tune=tune))))
    assert found.rows[1].log_loss is None
    assert found.best.name == "head"
    assert found.ties == []


def test_what_chance_could_do_is_called_a_tie_and_the_fastest_is_named():
    found = PlanComparison((row("head", 0.52, 2, 0.0), row("half", 0.5, 30, 0.02)))
    assert [tie.name for tie in found.ties] == ["head"]
    assert found.told == (
        "Best on validation: half (log loss 0.500). head is too close to tell from it: a tie. The "
        "fastest of them is head: 2.0 s against 30 s."
    )
    assert found.to_json()["ties"] == ["head"]


def test_a_difference_beyond_chance_is_said_to_be_one():
    found = PlanComparison((row("head", 0.6, stderr=0.0), row("half", 0.5, stderr=0.02)))
    assert found.told == "Best on validation: half (log loss 0.500), beyond what chance would do."


def test_with_too_few_images_to_judge_all_are_a_tie():
    found = PlanComparison((row("head", 0.9, stderr=0.0), row("half", 0.5, stderr=None)))
    assert [tie.name for tie in found.ties] == ["head"]


def test_the_same_plan_is_not_counted_twice():
    found = PlanComparison((row("advice", 0.5), row("half", 0.5, same_as="advice")))
    assert [r.name for r in found.trained] == ["advice"]


@pytest.mark.parametrize(("freeze", "ratio"), [("head", 1.0), ("half", 0.5), ("full", 0.0)])
def test_plans_are_the_same_where_they_cut_at_the_same_block(freeze, ratio):
    cut = nearest_cut(BLOCKS, ratio)
    assert same_plan(row("advice", 0.5, frozen_blocks=cut), freeze, BLOCKS)
    assert not same_plan(row("advice", 0.5, frozen_blocks=(cut + 1) % 19), freeze, BLOCKS)
    scratch = row("scratch", 0.5, frozen_blocks=cut, strategy="scratch")
    assert not same_plan(scratch, freeze, BLOCKS)
