"""Runs a plan, phase by phase: look once, solve the head, tune what the plan frees, evaluate, save.

Without pretrained weights there is nothing to look at once: then everything is trained instead.

The one long story of `tl train`, told in order. Never prints: it reports through `on_progress`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tl_cli import engine, rundir
from tl_cli.config import RunConfig
from tl_cli.engine import (
    budget,
    evaluate,
    features,
    heads,
    mirror,
    planning,
    scratch,
    similarity,
    spent,
    trial,
    tune,
)
from tl_cli.engine.classifier import Classifier
from tl_cli.engine.job import Job
from tl_cli.engine.outcome import Outcome
from tl_cli.engine.spent import Clock
from tl_cli.freeze import FreezePlan
from tl_cli.manifest import Manifest, bad_csv_text, write_csv
from tl_cli.results import Evaluation, Note, OnProgress, RunResult, predictions
from tl_cli.results.predictions import Prediction
from tl_cli.rundir import RunDir

SAVED_COPIES = 3  # checkpoint and exported model, with room for what surrounds the weights


OnPlan = Callable[[FreezePlan], None]
OnSaved = Callable[[Classifier], None]
EVALUATED = ("val", "test")
ROUNDING, WRONG = 0.02, 0.2  # of a probability: worth a word; not to be explained by float16


def run(
    config: RunConfig,
    manifest: Manifest,
    run: RunDir,
    on_progress: OnProgress,
    on_plan: OnPlan = lambda _: None,
    on_saved: OnSaved = lambda _: None,
) -> RunResult:
    """Train on the manifest as the configuration says and write everything into the run directory.

    Raises TLError for what the user can mend. Labels, plan and manifest are on disk before the
    training begins; the checkpoint is written last, as a whole. `on_saved` is handed the
    classifier, for what is to be made of it.
    """
    clock = Clock()
    spent.forget_peak()

    # -- what there is to work with -----------------------------------------------------------
    with clock.stage("build"):
        job = planning.prepare(config, manifest)
    run.need(SAVED_COPIES * 4 * job.backbone.model.count_params())
    _write_inputs(job, run)

    # -- train --------------------------------------------------------------------------------
    way = _from_scratch if config.from_scratch else _transfer
    outcome = way(job, run, clock, on_progress, on_plan)
    job, built = outcome.job, outcome.built
    if outcome.history:
        run.write_text(rundir.HISTORY, _csv(outcome.history))
    if outcome.gradients:
        run.write_text(rundir.GRADIENTS, _csv(outcome.gradients))

    # -- evaluate, save -----------------------------------------------------------------------
    with clock.stage("evaluate"):
        found = {s: outcome.probabilities(s) for s in EVALUATED if manifest.of(s)}
        metrics = {split: _evaluation(job, split, array) for split, array in found.items()}
        run.write_text(rundir.PREDICTIONS, predictions.csv_text(_predictions(job, found)))
        for text in _doubts(job, metrics):
            on_progress(Note(text))
        difference = check_whole(job, built, found.__getitem__)
        if difference > ROUNDING and job.precision == "float32":
            on_progress(Note(_rounding(difference), warning=True))
    with clock.stage("save"):
        result = RunResult(
            run=str(run.path),
            plan=job.plan.to_json(),
            metrics=metrics,
            seconds={},
            head=outcome.head,
            tune=outcome.tune,
            scratch=outcome.scratch,
            trained_parameters=_trained_parameters(job, built),
            peak_memory=spent.peak_memory(),
            image_size=job.backbone.image_size,
            precision=job.precision,
            notes=manifest.notes,
        )
        built.save(run, freeze_ratio=job.plan.freeze_ratio, precision=job.precision)
    result = replace(result, seconds=clock.all())
    run.write_json(rundir.METRICS, result.metrics_json())
    on_saved(built)
    return result


def _transfer(
    job: Job, run: RunDir, clock: Clock, on_progress: OnProgress, on_plan: OnPlan
) -> Outcome:
    # -- look once ----------------------------------------------------------------------------
    with clock.stage("features"):
        layers = similarity.distances(job, on_progress) if job.awaits_evidence else None
        pooled = heads.look(job, on_progress)

    # -- the head, solved ---------------------------------------------------------------------
    with clock.stage("head"):
        head = heads.solve(job, pooled)

    # -- what will be done, and why -----------------------------------------------------------
    with clock.stage("plan"):
        if job.awaits_evidence:
            job = planning.settle(job, similarity.gather(job, head, layers))
        if job.config.trial:
            job = trial.decide(job, head, on_progress)
        job = job.decided(head=head.kind)
        built = heads.attach(job, head)
        _write_plan(job, run)
    on_plan(job.plan)
    outcome = Outcome(job, built, head.probabilities, head=head.facts)

    # -- tune what the plan frees, from that head ----------------------------------------------
    if job.plan.trains_backbone:
        with clock.stage("tune"):
            if job.plan.augment != "none":
                may = mirror.decide(job, head, on_progress)
                job = replace(job.decided(mirror="yes" if may else "no"), mirror=may)
            job = _within_the_time(job, built, run, clock, on_progress)
            on_progress(Note(job.feeding))
            tuned = tune.tune(job, built, head, on_progress)
        outcome = replace(
            outcome,
            job=job,
            probabilities=tuned.probabilities if tuned.kept else head.probabilities,
            history=tuned.history,
            gradients=tuned.gradients,
            tune=tuned.facts,
        )
    return outcome


def _from_scratch(
    job: Job, run: RunDir, clock: Clock, on_progress: OnProgress, on_plan: OnPlan
) -> Outcome:
    on_plan(job.plan)
    with clock.stage("train"):
        built = scratch.begin(job)
        job = _within_the_time(job, built, run, clock, on_progress)
        return scratch.train(job, built, on_progress)


def _within_the_time(
    job: Job, built: Classifier, run: RunDir, clock: Clock, on_progress: OnProgress
) -> Job:
    """Return the job with no more epochs than fit into the minutes that were given, if any.

    All is settled then, and written down.
    """
    if job.config.max_minutes:
        left = job.config.max_minutes * 60 - clock.all()["total"]
        job = budget.fit_into(job, built, left, on_progress)
    _write_plan(job, run)
    return job


def _write_inputs(job: Job, run: RunDir) -> None:
    _write_plan(job, run)
    write_csv(job.manifest, run / rundir.MANIFEST)
    run.write_json(rundir.LABELS, list(job.manifest.classes))
    run.write_json(rundir.ENVIRONMENT, engine.environment())
    if job.manifest.bad:
        run.write_text(rundir.BAD_FILES, bad_csv_text(job.manifest))


def _write_plan(job: Job, run: RunDir) -> None:
    run.write_text(rundir.CONFIG, job.effective().to_yaml())
    run.write_json(rundir.PLAN, job.plan.to_json())


# == evaluate and save ============================================================================


def _evaluation(job: Job, split: str, probabilities: np.ndarray) -> Evaluation:
    labels, classes = job.labels(split), job.manifest.classes
    return evaluate.evaluate(probabilities, labels, classes, split=split, seed=job.config.seed)


def _predictions(job: Job, found: Mapping[str, np.ndarray]) -> Iterator[Prediction]:
    for split, probabilities in found.items():
        for record, row in zip(job.manifest.of(split), probabilities, strict=True):
            said = int(row.argmax())
            name = job.manifest.classes[said]
            yield Prediction(record.path, split, record.label, name, float(row[said]))


def _doubts(job: Job, metrics: dict[str, Evaluation]) -> Iterator[str]:
    """Say what a careful person would add to the figures."""
    if "test" not in metrics and job.plan.trains_backbone:
        yield (
            "There are no test images: the validation images also chose the best epoch, so their "
            "figures are a little too good. Keep some aside with --test 0.1."
        )
    for each in metrics.values():
        if each.accuracy <= each.majority_baseline:
            yield (
                f"On {each.split} the classifier is no better than always naming the most "
                "frequent class."
            )


def _rounding(difference: float) -> str:
    return (
        f"Features kept in float16 changed a probability by {difference:.3f}; "
        "--feature-dtype float32 is exact."
    )


def check_whole(
    job: Job, built: Classifier, probabilities: Callable[[str], np.ndarray], count: int = 8
) -> float:
    """Return how far the whole network, from pixels, is from what was computed in parts.

    As the greatest difference of a probability on some validation images. They share their layers,
    so more than rounding would be an error of ours: AssertionError, rather than a wrong model.
    """
    records = job.manifest.of("val")[:count]
    images = features.images(records, job.backbone.image_size)
    # called, not predicted with: eight images are not worth the tracing of a graph
    whole = np.asarray(built.model(images, training=False))
    difference = float(np.abs(whole - probabilities("val")[:count]).max())
    if not difference <= WRONG:
        raise AssertionError(f"whole and parts differ by {difference:.3f} in probability")
    return difference


def _trained_parameters(job: Job, built: Classifier) -> int:
    """Return how many numbers of the saved network the plan trains."""
    built.trainable(job.plan.frozen_blocks, norms=job.config.from_scratch)
    return sum(math.prod(weight.shape) for weight in built.model.trainable_weights)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of all columns that any row has."""
    columns = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="nan", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
