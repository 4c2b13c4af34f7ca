"""From a configuration to a settled job: the backbone, what the images tell, the plan.

Knows nothing of tuning and of run directories.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from tl_cli import catalog, engine
from tl_cli.config import RunConfig
from tl_cli.data.manifest import Manifest
from tl_cli.engine import evidence
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune import auxiliary_heads
from tl_cli.engine.head import choice
from tl_cli.engine.networks import loading
from tl_cli.plan import FreezePlan, from_scratch, override, recommend
from tl_cli.plan.evidence import Evidence
from tl_cli.results.progress import OnProgress


def prepare(config: RunConfig, manifest: Manifest) -> RunContext:
    """Settle precision and image size, load the backbone, and plan by what is known so far."""
    precision = engine.prepare(config.precision, config.seed)
    card = catalog.get(config.backbone)
    size = config.image_size or catalog.fitting_size(card, _median_side(manifest))
    weights = None if config.from_scratch else config.weights or loading.PRETRAINED
    backbone = loading.load(card, size, weights)
    plan = _plan(config, manifest, backbone, None)
    # a training from scratch has no features to decide mirroring by
    context = RunContext(config, manifest, backbone, plan, precision, mirror=config.mirror == "yes")
    return context if context.awaits_evidence else with_plan(context, plan)


def with_plan(context: RunContext, plan: FreezePlan) -> RunContext:
    """Return the job with another plan, its auxiliary heads where that one trains."""
    heads_inside = auxiliary_heads.attach(
        context.backbone,
        plan.classes,
        context.config.aux_heads,
        context.config.aux_weight,
        plan.frozen_blocks,
    )
    return replace(context, plan=plan, auxiliary=heads_inside)


def replanned(context: RunContext, **changed: str) -> FreezePlan:
    """Return the plan that the job would have with another `freeze` or `policy`."""
    config = context.config.effective(**changed)
    return _plan(config, context.manifest, context.backbone, context.plan.evidence)


def replan(context: RunContext, evidence: Evidence) -> RunContext:
    """Return the job with the plan that the evidence leads to."""
    return with_plan(context, _plan(context.config, context.manifest, context.backbone, evidence))


def advise(context: RunContext, on_progress: OnProgress) -> RunContext:
    """Return the job with its plan, after a look at no more images than the evidence needs.

    The plan is for all training images; the job that is returned holds all of them, too.
    """
    if not context.awaits_evidence:
        return context
    records = context.manifest.of("train")
    few = [records[i] for i in evidence.stratified(records, evidence.PROBED)]
    part = replace(context, manifest=context.manifest.with_records(few))
    layers = evidence.distances(part, on_progress)
    head = choice.solve(part, choice.look(part, on_progress))
    return replan(context, evidence.gather_evidence(part, head, layers))


def _plan(
    config: RunConfig, manifest: Manifest, backbone: loading.Backbone, evidence: Evidence | None
) -> FreezePlan:
    plan = override(
        _recommended(config, manifest, backbone, evidence),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
        label_smoothing=config.label_smoothing,
        batch_size=config.batch_size,
        epochs=config.epochs,
        augment=None if config.augment == "auto" else config.augment,
    )
    why = _why_this_size(config, manifest, backbone)
    return replace(plan, image_size=backbone.image_size, why={**plan.why, "image_size": why})


def _why_this_size(config: RunConfig, manifest: Manifest, backbone: loading.Backbone) -> str:
    if config.image_size:
        return "you said so"
    if backbone.image_size == backbone.card.image_size:
        return "what the network was pretrained at"
    side = _median_side(manifest)
    return f"{catalog.ENLARGE:g} times the images' own {side:g} px: more gains little"


def _recommended(
    config: RunConfig, manifest: Manifest, backbone: loading.Backbone, evidence: Evidence | None
) -> FreezePlan:
    counts = manifest.counts("train")
    size, classes, per_class = sum(counts.values()), len(counts), median(counts.values())
    name = backbone.card.name
    if config.from_scratch:
        return from_scratch.recommend(
            size, classes, backbone.blocks, backbone=name, images_per_class=per_class
        )
    return recommend(
        size,
        classes,
        backbone.blocks,
        backbone=name,
        images_per_class=per_class,
        similarity=config.similarity,
        evidence=evidence,
        validation=len(manifest.of("val")),
        freeze=config.freeze,
        policy=config.policy,
    )


def _median_side(manifest: Manifest) -> float:
    return median(min(record.width, record.height) for record in manifest.records)
