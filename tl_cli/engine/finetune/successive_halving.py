"""The plan tried out: candidates tuned for a short while each, the worst dropped, the best taken.

Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943). What it may cost is bounded
beforehand. Knows nothing of run directories.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tl_cli.engine import recommend_freeze
from tl_cli.engine.context import STEP_COST, RunContext
from tl_cli.engine.finetune import finetune
from tl_cli.engine.head import choice
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.plan import FreezePlan, override
from tl_cli.results.progress import Note, OnProgress
from tl_cli.results.training import FinetuneResult

BUDGET = 0.35  # of what tuning the costliest candidate to its end would cost
RUNGS = (0.2, 0.4, 0.4)  # shares of the budget


def decide(context: RunContext, head: SolvedHead, on_progress: OnProgress) -> RunContext:
    """Return the job with the plan that did best on validation when tried.

    Tuning everything and the founding rule's plan (half, where that is the head) are tried against
    the solved head. The backbone's weights are what they were in the end.
    """
    alive = candidates(context)
    before = context.backbone.model.get_weights()
    budget = BUDGET * max(cost(plan) * plan.epochs for plan in alive)
    tried: dict[float, FinetuneResult] = {}
    for share in RUNGS:
        tuned = [plan for plan in alive if plan.trains_backbone]
        for plan in tuned:
            epochs = max(1, int(share * budget / len(tuned) / cost(plan)))
            tried[plan.freeze_ratio] = _tried(context, head, plan, epochs, on_progress)
            context.backbone.model.set_weights(before)
        alive = sorted(alive, key=lambda plan: _loss(plan, tried))[:2]
    best = alive[0] if alive[0].trains_backbone else alive[1]
    facts = tried[best.freeze_ratio]
    taken = best if facts.kept == "tuned" else recommend_freeze.replanned(context, freeze="head")
    # what was tried was asked for by this search, not by the user: its first reason is that
    reasons = taken.reasons[1:] if taken.policy == "given" else taken.reasons
    plan = replace(taken, policy="trial", reasons=(_said(facts, best), *reasons))
    return recommend_freeze.with_plan(context, plan)


def candidates(context: RunContext) -> list[FreezePlan]:
    """Return the plans that are tried: the solved head, the rule's or half, everything."""
    rule = recommend_freeze.replanned(context, freeze="auto", policy="rule")
    middle = (
        rule if rule.strategy == "partial" else recommend_freeze.replanned(context, freeze="half")
    )
    ends = (recommend_freeze.replanned(context, freeze=name) for name in ("head", "full"))
    return [middle, *ends]


def _loss(plan: FreezePlan, tried: Mapping[float, FinetuneResult]) -> float:
    if plan.trains_backbone:
        return tried[plan.freeze_ratio].tuned_log_loss
    return next(iter(tried.values())).head_log_loss


def cost(plan: FreezePlan) -> float:
    """Return what an epoch costs, in forward passes of one image through the whole network."""
    return plan.size * STEP_COST * (1 - plan.frozen_compute_share)


def _tried(
    context: RunContext,
    head: SolvedHead,
    plan: FreezePlan,
    epochs: int,
    on_progress: OnProgress,
) -> FinetuneResult:
    short = recommend_freeze.with_plan(context, override(plan, epochs=epochs))
    facts = finetune.tune(short, choice.attach(short, head), head, on_progress).facts
    on_progress(
        Note(f"Tried freeze ratio {plan.freeze_ratio:.2f}, {epochs} epochs: {facts.reason}")
    )
    return facts


def _said(facts: FinetuneResult, best: FreezePlan) -> str:
    kept = "" if facts.kept == "tuned" else ", which is no sure gain"
    return (
        f"Tried out on validation: log loss {facts.head_log_loss:.3f} with the solved head, "
        f"{facts.tuned_log_loss:.3f} after a short tuning from freeze ratio "
        f"{best.freeze_ratio:.2f}{kept}."
    )
