"""The plan tried out: candidates tuned for a short while each, the worst dropped, the best taken.

Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943). What it may cost is bounded
beforehand. Each tuning that is finished is kept: a run that is cut off goes on after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tl_cli.engine import recommend_freeze
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune import settings
from tl_cli.engine.finetune.candidates import HEAD
from tl_cli.engine.finetune.finetune import finetune
from tl_cli.engine.finetune.races import Races
from tl_cli.engine.finetune.settings import STEP_COST, FinetuneSettings
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.humanize import count
from tl_cli.plan import FreezePlan, override
from tl_cli.results.progress import Note, OnProgress
from tl_cli.results.training import FinetuneResult

BUDGET = 0.35  # of what tuning the costliest candidate to its end would cost
RUNGS = (0.2, 0.4, 0.4)  # shares of the budget


@dataclass(frozen=True)
class Start:
    """What every tuning begins with."""

    backbone: Sequence[np.ndarray]  # its weights
    head: SolvedHead

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All numbers that what it comes to depends on."""
        return (*self.backbone, self.head.head.weights, self.head.head.bias)


def decide(
    context: RunContext,
    advised: FreezePlan,
    head: SolvedHead,
    on_progress: OnProgress,
    *,
    mirror: bool,
    races: Races | None = None,
) -> FreezePlan:
    """Return the plan that did best on validation when tried.

    Tuning everything and the founding rule's plan (half, where that is the head) are tried against
    the solved head. The backbone's weights are what they were in the end.
    """
    alive = candidates(context, advised)
    races = races or Races()
    start = Start(context.backbone.model.get_weights(), head)
    budget = BUDGET * max(cost(plan) * plan.epochs for plan in alive)
    tried: dict[float, FinetuneResult] = {}
    for share in RUNGS:
        tuned = [plan for plan in alive if plan.trains_backbone]
        for plan in tuned:
            epochs = max(1, int(share * budget / len(tuned) / cost(plan)))
            short = override(plan, epochs=epochs)
            chosen = settings.decide(context, short, mirror=mirror)
            tried[plan.freeze_ratio] = _tried(context, chosen, start, races, on_progress)
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
    chosen: FinetuneSettings,
    start: Start,
    races: Races,
    on_progress: OnProgress,
) -> FinetuneResult:
    """Return what a short tuning comes to: as it is kept, else by running it."""
    plan, known = chosen.plan, races.result(chosen, start.arrays)
    tried = f"Tried freeze ratio {plan.freeze_ratio:.2f}, {count(plan.epochs, 'epoch')}"
    if known:
        on_progress(Note(f"{tried} (known already): {known.reason}"))
        return known
    result = finetune(context, chosen, start.head, on_progress).result
    context.backbone.model.set_weights(start.backbone)
    races.keep(chosen, start.arrays, result)
    on_progress(Note(f"{tried}: {result.reason}"))
    return result


def _said(result: FinetuneResult, plan: FreezePlan) -> str:
    kept = "" if result.kept != HEAD else ", which is no gain"
    return (
        f"Tried out on validation: {result.head.loss_words} {result.head.loss:.3f} with the solved "
        f"head, {result.best.loss:.3f} after a short tuning from freeze ratio "
        f"{plan.freeze_ratio:.2f}{kept}."
    )
