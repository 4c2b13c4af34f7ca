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

from tl_cli import engine
from tl_cli.config import RunConfig
from tl_cli.data.csv_io import bad_csv_text, write_csv
from tl_cli.data.manifest import Manifest
from tl_cli.engine import evidence, features, recommend_freeze, resources
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune import (
    finetune,
    flip_check,
    from_scratch,
    successive_halving,
    time_budget,
)
from tl_cli.engine.head import choice
from tl_cli.engine.metrics import figures
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.resources import Clock
from tl_cli.engine.trained_model import TrainedModel
from tl_cli.plan import FreezePlan
from tl_cli.results import predictions
from tl_cli.results.evaluation import Evaluation
from tl_cli.results.predictions import Prediction
from tl_cli.results.progress import Note, OnProgress
from tl_cli.results.training import RunResult
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

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
    resources.reset_peak_memory()

    # -- what there is to work with -----------------------------------------------------------
    with clock.stage("build"):
        context = recommend_freeze.prepare(config, manifest)
    run.need(SAVED_COPIES * 4 * context.backbone.model.count_params())
    _write_inputs(context, run)

    # -- train --------------------------------------------------------------------------------
    way = _from_scratch if config.from_scratch else _transfer
    outcome = way(context, run, clock, on_progress, on_plan)
    context, built = outcome.context, outcome.built
    if outcome.history:
        run.write_text(run_dir.HISTORY, _csv(outcome.history))
    if outcome.gradients:
        run.write_text(run_dir.GRADIENTS, _csv(outcome.gradients))

    # -- evaluate, save -----------------------------------------------------------------------
    with clock.stage("evaluate"):
        found = {s: outcome.probabilities(s) for s in EVALUATED if manifest.of(s)}
        metrics = {split: _evaluation(context, split, array) for split, array in found.items()}
        run.write_text(run_dir.PREDICTIONS, predictions.csv_text(_predictions(context, found)))
        for text in _caveats(context, metrics):
            on_progress(Note(text))
        difference = check_whole(context, built, found.__getitem__)
        if difference > ROUNDING and context.precision == "float32":
            on_progress(Note(_rounding(difference), warning=True))
    with clock.stage("save"):
        result = RunResult(
            run=str(run.final_path),
            plan=context.plan.to_json(),
            metrics=metrics,
            seconds={},
            head=outcome.head,
            tune=outcome.tune,
            scratch=outcome.scratch,
            trained_parameters=_trained_parameters(context, built),
            peak_memory=resources.peak_memory(),
            image_size=context.backbone.image_size,
            precision=context.precision,
            notes=manifest.notes,
        )
        built.save(run, freeze_ratio=context.plan.freeze_ratio, precision=context.precision)
    result = replace(result, seconds=clock.all())
    run.write_json(run_dir.METRICS, result.metrics_json())
    on_saved(built)
    return result


def _transfer(
    context: RunContext, run: RunDir, clock: Clock, on_progress: OnProgress, on_plan: OnPlan
) -> TrainedModel:
    # -- look once ----------------------------------------------------------------------------
    with clock.stage("features"):
        layers = evidence.distances(context, on_progress) if context.awaits_evidence else None
        pooled = choice.look(context, on_progress)

    # -- the head, solved ---------------------------------------------------------------------
    with clock.stage("head"):
        head = choice.solve(context, pooled)

    # -- what will be done, and why -----------------------------------------------------------
    with clock.stage("plan"):
        if context.awaits_evidence:
            context = recommend_freeze.replan(
                context, evidence.gather_evidence(context, head, layers)
            )
        if context.config.trial:
            context = successive_halving.decide(context, head, on_progress)
        context = context.decided(head=head.kind)
        built = choice.attach(context, head)
        _write_plan(context, run)
    on_plan(context.plan)
    outcome = TrainedModel(context, built, head.probabilities, head=head.facts)

    # -- tune what the plan frees, from that head ----------------------------------------------
    if context.plan.trains_backbone:
        with clock.stage("tune"):
            if context.plan.augment != "none":
                may = flip_check.decide(context, head, on_progress)
                context = replace(context.decided(mirror="yes" if may else "no"), mirror=may)
            context = _within_the_time(context, built, run, clock, on_progress)
            on_progress(Note(context.feeding))
            tuned = finetune.tune(context, built, head, on_progress)
        outcome = replace(
            outcome,
            context=context,
            probabilities=tuned.probabilities if tuned.kept else head.probabilities,
            history=tuned.history,
            gradients=tuned.gradients,
            tune=tuned.facts,
        )
    return outcome


def _from_scratch(
    context: RunContext, run: RunDir, clock: Clock, on_progress: OnProgress, on_plan: OnPlan
) -> TrainedModel:
    on_plan(context.plan)
    with clock.stage("train"):
        built = from_scratch.begin(context)
        context = _within_the_time(context, built, run, clock, on_progress)
        return from_scratch.train(context, built, on_progress)


def _within_the_time(
    context: RunContext, built: Classifier, run: RunDir, clock: Clock, on_progress: OnProgress
) -> RunContext:
    """Return the job with no more epochs than fit into the minutes that were given, if any.

    All is settled then, and written down.
    """
    if context.config.max_minutes:
        left = context.config.max_minutes * 60 - clock.all()["total"]
        context = time_budget.fit_into_time(context, built, left, on_progress)
    _write_plan(context, run)
    return context


def _write_inputs(context: RunContext, run: RunDir) -> None:
    _write_plan(context, run)
    write_csv(context.manifest, run / run_dir.MANIFEST)
    run.write_json(run_dir.LABELS, list(context.manifest.classes))
    run.write_json(run_dir.ENVIRONMENT, engine.environment())
    if context.manifest.bad:
        run.write_text(run_dir.BAD_FILES, bad_csv_text(context.manifest))


def _write_plan(context: RunContext, run: RunDir) -> None:
    run.write_text(run_dir.CONFIG, context.effective().to_yaml())
    run.write_json(run_dir.PLAN, context.plan.to_json())


# == evaluate and save ============================================================================


def _evaluation(context: RunContext, split: str, probabilities: np.ndarray) -> Evaluation:
    labels, classes = context.labels(split), context.manifest.classes
    return figures.evaluate(probabilities, labels, classes, split=split, seed=context.config.seed)


def _predictions(context: RunContext, found: Mapping[str, np.ndarray]) -> Iterator[Prediction]:
    for split, probabilities in found.items():
        for record, row in zip(context.manifest.of(split), probabilities, strict=True):
            said = int(row.argmax())
            name = context.manifest.classes[said]
            yield Prediction(record.path, split, record.label, name, float(row[said]))


def _caveats(context: RunContext, metrics: dict[str, Evaluation]) -> Iterator[str]:
    """Say what a careful person would add to the figures."""
    if "test" not in metrics and context.plan.trains_backbone:
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
    context: RunContext,
    built: Classifier,
    probabilities: Callable[[str], np.ndarray],
    count: int = 8,
) -> float:
    """Return how far the whole network, from pixels, is from what was computed in parts.

    As the greatest difference of a probability on some validation images. They share their layers,
    so more than rounding would be an error of ours: AssertionError, rather than a wrong model.
    """
    records = context.manifest.of("val")[:count]
    images = features.images(records, context.backbone.image_size)
    # called, not predicted with: eight images are not worth the tracing of a graph
    whole = np.asarray(built.model(images, training=False))
    difference = float(np.abs(whole - probabilities("val")[:count]).max())
    if not difference <= WRONG:
        raise AssertionError(f"whole and parts differ by {difference:.3f} in probability")
    return difference


def _trained_parameters(context: RunContext, built: Classifier) -> int:
    """Return how many numbers of the saved network the plan trains."""
    built.freeze_up_to(context.plan.frozen_blocks, norms=context.config.from_scratch)
    return sum(math.prod(weight.shape) for weight in built.model.trainable_weights)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of all columns that any row has."""
    columns = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="nan", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
