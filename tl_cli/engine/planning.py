"""From a configuration to a settled job: the backbone, what the images tell, the plan.

Knows nothing of tuning and of run directories.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from tl_cli import catalog, engine, freeze
from tl_cli.config import RunConfig
from tl_cli.engine import auxiliary, backbones, heads, similarity
from tl_cli.engine.job import Job
from tl_cli.freeze import FreezePlan, scratch
from tl_cli.freeze.evidence import Evidence
from tl_cli.manifest import Manifest
from tl_cli.results import OnProgress


def prepare(config: RunConfig, manifest: Manifest) -> Job:
    """Settle precision and image size, load the backbone, and plan by what is known so far."""
    precision = engine.prepare(config.precision, config.seed)
    card = catalog.get(config.backbone)
    size = config.image_size or catalog.fitting_size(card, _median_side(manifest))
    weights = None if config.from_scratch else config.weights or backbones.PRETRAINED
    backbone = backbones.load(card, size, weights)
    plan = _plan(config, manifest, backbone, None)
    # a training from scratch has no features to decide mirroring by
    job = Job(config, manifest, backbone, plan, precision, mirror=config.mirror == "yes")
    return job if job.awaits_evidence else with_plan(job, plan)


def with_plan(job: Job, plan: FreezePlan) -> Job:
    """Return the job with another plan, its auxiliary heads where that one trains."""
    heads_inside = auxiliary.attach(
        job.backbone,
        plan.classes,
        job.config.aux_heads,
        job.config.aux_weight,
        plan.frozen_blocks,
    )
    return replace(job, plan=plan, auxiliary=heads_inside)


def replanned(job: Job, **changed: str) -> FreezePlan:
    """Return the plan that the job would have with another `freeze` or `policy`."""
    config = job.config.effective(**changed)
    return _plan(config, job.manifest, job.backbone, job.plan.evidence)


def settle(job: Job, evidence: Evidence) -> Job:
    """Return the job with the plan that the evidence leads to."""
    return with_plan(job, _plan(job.config, job.manifest, job.backbone, evidence))


def advise(job: Job, on_progress: OnProgress) -> Job:
    """Return the job with its plan, after a look at no more images than the evidence needs.

    The plan is for all training images; the job that is returned holds all of them, too.
    """
    if not job.awaits_evidence:
        return job
    records = job.manifest.of("train")
    few = [records[i] for i in similarity.stratified(records, similarity.PROBED)]
    part = replace(job, manifest=job.manifest.with_records(few))
    layers = similarity.distances(part, on_progress)
    head = heads.solve(part, heads.look(part, on_progress))
    return settle(job, similarity.gather(part, head, layers))


def _plan(
    config: RunConfig, manifest: Manifest, backbone: backbones.Backbone, evidence: Evidence | None
) -> FreezePlan:
    plan = freeze.override(
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


def _why_this_size(config: RunConfig, manifest: Manifest, backbone: backbones.Backbone) -> str:
    if config.image_size:
        return "you said so"
    if backbone.image_size == backbone.card.image_size:
        return "what the network was pretrained at"
    side = _median_side(manifest)
    return f"{catalog.ENLARGE:g} times the images' own {side:g} px: more gains little"


def _recommended(
    config: RunConfig, manifest: Manifest, backbone: backbones.Backbone, evidence: Evidence | None
) -> FreezePlan:
    counts = manifest.counts("train")
    size, classes, per_class = sum(counts.values()), len(counts), median(counts.values())
    name = backbone.card.name
    if config.from_scratch:
        return scratch.recommend(
            size, classes, backbone.blocks, backbone=name, images_per_class=per_class
        )
    return freeze.recommend(
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
