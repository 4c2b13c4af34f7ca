"""How the freed part is trained, decided once: where it is fed, how many views, mirrored or not.

Knows nothing of weights and of what came out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras

from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.auxiliary_heads import NONE, AuxiliaryHeads, attach
from tl_cli.plan import FreezePlan
from tl_cli.plan.freeze_plan import training_reasons

VIEWS = 10  # kept an image at the most; see docs/benchmarks.md, "Views"
VIEW_COST = 0.5  # of the tuning's multiply-adds: what the passes for the augmented views may cost
LEAST_PATIENCE = 5  # epochs without a better validation before a training from scratch ends
STEP_COST = 3  # forward passes that a training step costs, forward and back


@dataclass(frozen=True)
class FinetuneSettings:
    """What a fine-tuning is to do. A plan, and what follows from it for this run."""

    plan: FreezePlan
    cut: int  # whose kept tensors training is fed from; 0: pixels
    views: int  # of each training image that are kept at the cut, one an epoch in turn
    mirror: bool = False  # whether augmentation may mirror
    auxiliary: AuxiliaryHeads = NONE
    batchnorm_trains: bool = False  # from scratch alone
    patience: int | None = None  # epochs without a better validation; None: all are trained
    parts: int = 1  # in which a batch passes, its gradients added: see in_parts.py


def decide(context: RunContext, plan: FreezePlan, *, mirror: bool = False) -> FinetuneSettings:
    """Return the settings of a plan. Raises TLError where its auxiliary heads do not fit."""
    config = context.config
    cut = plan.frozen_blocks if context.fits(plan.frozen_blocks) else 0
    if config.aux_heads:
        # else their first weights depend on how many layers were built before: on the cache
        keras.utils.set_random_seed(config.seed)
    return FinetuneSettings(
        plan=plan,
        cut=cut,
        views=_views(context, plan, cut),
        mirror=mirror,
        auxiliary=attach(
            context.backbone,
            plan.classes,
            config.aux_heads,
            config.aux_weight,
            plan.frozen_blocks,
        ),
        batchnorm_trains=config.from_scratch,
        # a tuning is short, and its last features are the best ones: see docs/policy.md
        patience=max(LEAST_PATIENCE, plan.epochs // 2) if config.from_scratch else None,
    )


def to_json(settings: FinetuneSettings) -> dict[str, Any]:
    """Return what `from_json` makes the same settings from; of JSON types."""
    return {
        "plan": settings.plan.to_json(),
        "cut": settings.cut,
        "views": settings.views,
        "mirror": settings.mirror,
        "patience": settings.patience,
        "parts": settings.parts,
    }


def from_json(context: RunContext, kept: Mapping[str, Any]) -> FinetuneSettings:
    """Return the settings that were decided when the run began, whatever room there is now."""
    plan = FreezePlan.from_json(kept["plan"])
    decided = decide(context, plan, mirror=kept["mirror"])
    as_before = {name: kept[name] for name in ("cut", "views", "patience")}
    return replace(decided, **as_before, parts=int(kept.get("parts", 1)))


def _views(context: RunContext, plan: FreezePlan, cut: int) -> int:
    """Return how many views are kept: each costs a pass of the frozen part, and its place."""
    if not cut or plan.augment == "none":
        return 1
    tuning = plan.epochs * STEP_COST * (1 - plan.frozen_compute_share)
    affordable = 1 + int(VIEW_COST * tuning / plan.frozen_compute_share)
    wanted = min(context.config.views or min(VIEWS, affordable), plan.epochs)
    return max(1, min(wanted, context.room // context.cut_bytes(cut)))


def with_epochs(
    context: RunContext, settings: FinetuneSettings, epochs: int, why: str, reason: str
) -> FinetuneSettings:
    """Return the settings with so many epochs, why, and the reason among the plan's."""
    plan = settings.plan
    if epochs == plan.epochs:
        return settings
    shorter = replace(plan, epochs=epochs, why={**plan.why, "epochs": why})
    renewed = dict(zip(training_reasons(plan), training_reasons(shorter), strict=True))
    reasons = [renewed.get(text, text) for text in plan.reasons]
    shorter = replace(shorter, reasons=(*reasons, reason))
    views = min(settings.views, _views(context, shorter, settings.cut))
    return replace(settings, plan=shorter, views=views)


def feeding(context: RunContext, settings: FinetuneSettings) -> str:
    """Say in one sentence what the trained part is fed with, and why."""
    frozen = settings.plan.frozen_blocks
    if frozen == 0:
        return "Nothing is frozen, so every epoch passes the whole network."
    if not context.room:
        return "Without a cache the frozen part runs again in every epoch."
    need = context.cut_bytes(frozen)
    if not settings.cut:
        return (
            f"The output of the frozen part would take {need / 1e9:.1f} GB and one run may "
            f"keep {context.room / 1e9:.1f} GB: it is computed in every epoch."
        )
    views = f" in {settings.views} views, one an epoch in turn" if settings.views > 1 else ""
    return (
        f"The frozen part runs once: its output is kept for each image{views} "
        f"({need * settings.views / 1e6:,.1f} MB)."
    )
