"""The plan tried out: candidates tuned for a short while each, the worst dropped, the best taken.

Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943). What it may cost is bounded
beforehand. Knows nothing of run directories.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tl_cli.engine import recommend_freeze
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune import settings
from tl_cli.engine.finetune.candidates import HEAD
from tl_cli.engine.finetune.finetune import finetune
from tl_cli.engine.finetune.settings import STEP_COST
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.humanize import count
from tl_cli.plan import FreezePlan, override
from tl_cli.results.progress import Note, OnProgress
from tl_cli.results.training import FinetuneResult

BUDGET = 0.35  # of what tuning the costliest candidate to its end would cost
RUNGS = (0.2, 0.4, 0.4)  # shares of the budget


def decide(
    context: RunContext,
    advised: FreezePlan,
    head: SolvedHead,
    on_progress: OnProgress,
    *,
    mirror: bool,
) -> FreezePlan:
    """Return the plan that did best on validation when tried.

    Tuning everything and the founding rule's plan (half, where that is the head) are tried against
    the solved head. The backbone's weights are what they were in the end.
    """
    alive = candidates(context, advised)
    before = context.backbone.model.get_weights()
    budget = BUDGET * max(cost(plan) * plan.epochs for plan in alive)
    tried: dict[float, FinetuneResult] = {}
    for share in RUNGS:
        tuned = [plan for plan in alive if plan.trains_backbone]
        for plan in tuned:
            epochs = max(1, int(share * budget / len(tuned) / cost(plan)))
            short = override(plan, epochs=epochs)
            tried[plan.freeze_ratio] = _tried(context, short, head, on_progress, mirror=mirror)
            context.backbone.model.set_weights(before)
        alive = sorted(alive, key=lambda plan: _loss(plan, tried))[:2]
    best = alive[0] if alive[0].trains_backbone else alive[1]
    result = tried[best.freeze_ratio]
    kept = result.kept != HEAD
    taken = best if kept else recommend_freeze.recommend(context, advised.evidence, freeze="head")
    # what was tried was asked for by this search, not by the user: its first reason is that
    reasons = taken.reasons[1:] if taken.policy == "given" else taken.reasons
    return replace(taken, policy="trial", reasons=(_said(result, best), *reasons))


def candidates(context: RunContext, advised: FreezePlan) -> list[FreezePlan]:
    """Return the plans that are tried: the solved head, the rule's or half, everything."""

    def plan(freeze: str, policy: str = "") -> FreezePlan:
        return recommend_freeze.recommend(context, advised.evidence, freeze=freeze, policy=policy)

    rule = plan("auto", "rule")
    middle = rule if rule.strategy == "partial" else plan("half")
    return [middle, plan("head"), plan("full")]


def _loss(plan: FreezePlan, tried: Mapping[float, FinetuneResult]) -> float:
    if plan.trains_backbone:
        return min(c.loss for c in tried[plan.freeze_ratio].candidates if c.name != HEAD)
    return next(iter(tried.values())).head.loss


def cost(plan: FreezePlan) -> float:
    """Return what an epoch costs, in forward passes of one image through the whole network."""
    return plan.size * STEP_COST * (1 - plan.frozen_compute_share)


def _tried(
    context: RunContext,
    plan: FreezePlan,
    head: SolvedHead,
    on_progress: OnProgress,
    *,
    mirror: bool,
) -> FinetuneResult:
    short = settings.decide(context, plan, mirror=mirror)
    result = finetune(context, short, head, on_progress).result
    tried = f"Tried freeze ratio {plan.freeze_ratio:.2f}, {count(plan.epochs, 'epoch')}"
    on_progress(Note(f"{tried}: {result.reason}"))
    return result


def _said(result: FinetuneResult, plan: FreezePlan) -> str:
    kept = "" if result.kept != HEAD else ", which is no gain"
    return (
        f"Tried out on validation: {result.head.loss_words} {result.head.loss:.3f} with the solved "
        f"head, {result.best.loss:.3f} after a short tuning from freeze ratio "
        f"{plan.freeze_ratio:.2f}{kept}."
    )
