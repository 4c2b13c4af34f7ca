"""`tl train`, told in order: look once, solve, tune, solve again; what is on disk is measured.

Never prints: it reports through `on_progress`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tl_cli.config import RunConfig
from tl_cli.data.manifest import Manifest
from tl_cli.engine import evidence, rank, ray_pass, recommend_freeze, resources, run_files
from tl_cli.engine.context import RunContext, prepare
from tl_cli.engine.finetune import (
    devices,
    flip_check,
    in_parts,
    settings,
    successive_halving,
    time_budget,
)
from tl_cli.engine.finetune.candidates import from_head
from tl_cli.engine.finetune.checkpoints import Checkpoints
from tl_cli.engine.finetune.finetune import finetune, softened
from tl_cli.engine.finetune.from_scratch import random_classifier, train_from_scratch
from tl_cli.engine.finetune.races import Races
from tl_cli.engine.finetune.settings import FinetuneSettings
from tl_cli.engine.head import choice
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.outcome import Trained, ended, metrics_of, result_of
from tl_cli.engine.resources import Clock
from tl_cli.engine.trained_model import Finetuned, TrainedModel
from tl_cli.plan import FreezePlan
from tl_cli.plan.evidence import Evidence
from tl_cli.results.progress import Note, OnProgress, begun
from tl_cli.results.training import FinetuneResult, FromScratchResult
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

OnPlan = Callable[[FreezePlan, Mapping[str, float]], None]  # the plan, the seconds it will take


@resources.memory_told()
def train(
    config: RunConfig,
    manifest: Manifest,
    run: RunDir,
    on_progress: OnProgress,
    on_plan: OnPlan = lambda _, __: None,
) -> Trained:
    """Train on the manifest as the configuration says and write everything into the run directory.

    From the first solved head on there is a result: whatever ends the training later leaves it, and
    the run's status says `head`. A run that was cut off is gone on with: what it decided holds, and
    the tuning goes on after the last epoch that it kept. Raises TLError for what the user can mend.
    """
    clock = Clock(on_begin=lambda stage: on_progress(begun(stage)))
    resources.reset_peak_memory()

    with clock.stage("build"):
        config = rank.resolved(config.for_task(manifest.task), manifest, on_progress)
        devices.check(config)
        context = prepare(config, manifest)
        run_files.write_inputs(run, context)
        before = run_files.kept_settings(run, context)  # of a run that was cut off

    head = seen = None
    if not config.from_scratch:
        with clock.stage("features"):
            if config.engine:
                ray_pass.run_training(context, on_progress)  # elsewhere; what follows finds it
            layers = evidence.batchnorm_distances(context, on_progress)
            rows = choice.extract(context, on_progress)  # each image passes once
        with clock.stage("head"):
            head = choice.solve(context, rows)
            trained = from_head(context, head)
            run_files.save(run, context, trained)  # from here on there is a result, come what may
        if not before and recommend_freeze.needs_evidence(config):
            with clock.stage("evidence"):
                seen = evidence.gather_evidence(context, rows, head, layers)

    with clock.stage("plan"):
        decided = before or _decide(context, seen, head, Races(run), clock, on_progress)
        decided = in_parts.fitted(context, decided, on_progress)
        if decided.plan.trains_backbone:
            devices.tell(config, decided, on_progress)
        run_files.write_plan(run, context, decided, head)
        building = clock.seconds["build"] + clock.seconds.get("head", 0.0)
        on_plan(decided.plan, time_budget.forecast(context, decided, building))

    finetuned: Finetuned[FinetuneResult | FromScratchResult] | None = None
    if decided.plan.trains_backbone:
        with clock.stage("tune"):
            if head:
                _announce(run, context, decided, trained, head, clock, on_progress)
            in_parts.check(context, decided)
            tune = partial(_tuned, context, head, Checkpoints(run), on_progress)
            finetuned = in_parts.trained(context, decided, tune, on_progress)
        trained = finetuned.trained
        run_files.write_history(run, finetuned.history, finetuned.gradients)
        with clock.stage("save"):
            run_files.save(run, context, trained, decided.plan)

    outcome = finetuned.result if finetuned else None
    return ended(context, run, decided.plan, trained, head, outcome, clock, on_progress)


# == what the story calls ==========================================================================


def _tuned(
    context: RunContext,
    head: SolvedHead | None,
    checkpoints: Checkpoints,
    on_progress: OnProgress,
    settings: FinetuneSettings,
) -> Finetuned[FinetuneResult | FromScratchResult]:
    """Tune from the solved head, or train everything where there is none."""
    if head is None:
        return train_from_scratch(context, settings, on_progress, checkpoints)
    return finetune(context, settings, head, on_progress, checkpoints)


def _decide(
    context: RunContext,
    seen: Evidence | None,
    head: SolvedHead | None,
    races: Races,
    clock: Clock,
    on_progress: OnProgress,
) -> FinetuneSettings:
    """Return the plan and all that follows from it for this run, decided once."""
    config, plan = context.config, recommend_freeze.recommend(context, seen)
    mirror = _may_mirror(context, plan, head, on_progress)
    if config.effort == "thorough" and head:
        plan = successive_halving.decide(
            context, plan, head, on_progress, mirror=mirror, races=races
        )
    decided = settings.decide(context, plan, mirror=mirror)
    if not (config.max_minutes and plan.trains_backbone):
        return decided
    classifier = softened(context, head) if head else random_classifier(context)
    left = config.max_minutes * 60 - clock.all()["total"]
    return time_budget.fit_into_time(context, decided, classifier, left, on_progress)


def _may_mirror(
    context: RunContext, plan: FreezePlan, head: SolvedHead | None, on_progress: OnProgress
) -> bool:
    """Return whether augmentation may mirror; from scratch there are no features to decide by."""
    if head is None:
        return context.config.mirror == "yes"
    # not the plan's augmentation: the plan advised before others are tried may be the head alone
    tried = context.config.effort == "thorough"
    if context.config.augment == "none" or not (plan.trains_backbone or tried):
        return False
    return flip_check.decide(context, head, on_progress)


def _announce(
    run: RunDir,
    context: RunContext,
    decided: FinetuneSettings,
    trained: TrainedModel,
    head: SolvedHead,
    clock: Clock,
    on_progress: OnProgress,
) -> None:
    """Write down that there is a result, and say it, and what is tried next."""
    metrics = metrics_of(context, trained, None)
    interim = result_of(context, run, decided.plan, metrics, trained, head, None, clock)
    run_files.write_predictions(run, context, trained, {"val": trained.held_out})
    run_files.write_result(run, interim)
    run.status(run_dir.HEAD)
    said = f"Ready: {run.final_path}. Now trying to improve it; Ctrl-C keeps this."
    on_progress(Note(said, lasting=True))
    on_progress(Note(settings.feeding(context, decided)))
