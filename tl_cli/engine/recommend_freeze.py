"""From what is known of a run's images to its plan. Knows nothing of training and of run files."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from tl_cli import catalog
from tl_cli.config import RunConfig
from tl_cli.data.manifest import MULTILABEL, REGRESSION
from tl_cli.engine import evidence
from tl_cli.engine.context import RunContext, median_side
from tl_cli.engine.head import choice
from tl_cli.plan import FreezePlan, from_scratch, override
from tl_cli.plan import recommend as plan_for
from tl_cli.plan.evidence import Evidence
from tl_cli.plan.plain_words import (
    ALONE,
    BESIDE_ALONE,
    NUMBER,
    NUMBER_ALONE,
    SEVERAL,
    SIDE_BY_SIDE,
)
from tl_cli.results.progress import OnProgress

QUICK = "--effort quick: the classifier alone is trained, whatever tuning might gain."


def needs_evidence(config: RunConfig) -> bool:
    """Return whether the plan follows from what the images show, and not from options alone."""
    return config.freeze == "auto" and not config.from_scratch


def recommend(
    context: RunContext, seen: Evidence | None, *, freeze: str | None = None, policy: str = ""
) -> FreezePlan:
    """Return the plan, the user's own numbers in place of its own.

    `freeze`, `policy`: in place of the configuration's.
    """
    config = context.config
    plan = override(
        _recommended(context, seen, freeze or config.freeze, policy or config.policy),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
        label_smoothing=config.label_smoothing,
        batch_size=config.batch_size,
        epochs=config.epochs,
        augment=None if config.augment == "auto" else config.augment,
    )
    if config.effort == "quick" and plan.strategy == "head":
        plan = replace(plan, reasons=(QUICK, *plan.reasons[1:]))
    if catalog.side_by_side(context.backbone.card):
        plan = replace(plan, policy=SIDE_BY_SIDE, reasons=(BESIDE_ALONE, *plan.reasons[1:]))
    if context.manifest.task == MULTILABEL:
        plan = replace(plan, policy=SEVERAL, reasons=(ALONE, *plan.reasons[1:]))
    if context.manifest.task == REGRESSION:
        plan = replace(plan, policy=NUMBER, reasons=(NUMBER_ALONE, *plan.reasons[1:]))
    why = {**plan.why, "image_size": _why_this_size(context)}
    return replace(plan, image_size=context.backbone.image_size, why=why)


def advise(context: RunContext, on_progress: OnProgress) -> FreezePlan:
    """Return the plan for all training images, after a pass of no more than the evidence needs."""
    if not needs_evidence(context.config):
        return recommend(context, None)
    records = context.manifest.of("train")
    few = [records[i] for i in evidence.stratified(records, evidence.PROBED)]
    part = replace(context, manifest=context.manifest.with_records(few), room=0)
    layers = evidence.batchnorm_distances(part, on_progress)
    rows = choice.extract(part, on_progress)
    head = choice.solve(part, rows)
    return recommend(context, evidence.gather_evidence(part, rows, head, layers))


def _why_this_size(context: RunContext) -> str:
    backbone = context.backbone
    if context.config.image_size:
        return "you said so"
    if backbone.image_size == backbone.card.image_size:
        return "what the network was pretrained at"
    side = median_side(context.manifest)
    return f"{catalog.ENLARGE:g} times the images' own {side:g} px: more gains little"


def _recommended(
    context: RunContext, seen: Evidence | None, freeze: str, policy: str
) -> FreezePlan:
    counts, backbone = context.manifest.counts("train"), context.backbone
    size, classes = len(context.manifest.of("train")), len(counts)
    per_class = median(counts.values())
    name = backbone.card.name
    if context.config.from_scratch:
        return from_scratch.recommend(
            size, classes, backbone.blocks, backbone=name, images_per_class=per_class
        )
    return plan_for(
        size,
        classes,
        backbone.blocks,
        backbone=name,
        images_per_class=per_class,
        similarity=context.config.similarity,
        evidence=seen,
        validation=len(context.manifest.of("val")),
        freeze=freeze,
        policy=policy,
        least_classes=1 if context.manifest.task == REGRESSION else 2,
    )
