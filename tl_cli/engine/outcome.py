"""How a run ends: what is on disk is measured, and what it came to is written down.

Knows nothing of how it was trained.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tl_cli.data.manifest import CLASSIFICATION, REGRESSION, TASKS, Record
from tl_cli.engine import data_map, features, resources, run_files
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import BATCH
from tl_cli.engine.finetune import time_budget
from tl_cli.engine.finetune.candidates import HEAD, head_candidate, judged
from tl_cli.engine.head import choice
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.head.learning_curve import learning_curve
from tl_cli.engine.head.row_blocks import stacked
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.predict import load_checkpoint, probabilities
from tl_cli.engine.resources import Clock
from tl_cli.engine.tasks import Figures
from tl_cli.engine.trained_model import TrainedModel
from tl_cli.plan import FreezePlan
from tl_cli.results.learning_curve import LearningCurve
from tl_cli.results.progress import Note, OnProgress
from tl_cli.results.training import CandidateResult, FinetuneResult, FromScratchResult, RunResult
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

Outcome = FinetuneResult | FromScratchResult | None
ROUNDING, ROUNDING_MIXED = 0.02, 0.15  # of a probability, between parts and whole: worth a word
CHECKED_A_CLASS, CHECKED = 2, 64  # validation images that pass the saved network, from pixels


@dataclass(frozen=True)
class Trained:
    """A finished run, and its network as it was loaded from disk."""

    result: RunResult
    classifier: Classifier


def ended(
    context: RunContext,
    run: RunDir,
    plan: FreezePlan,
    trained: TrainedModel,
    head: SolvedHead | None,
    outcome: Outcome,
    clock: Clock,
    on_progress: OnProgress,
    *,
    pixels: Collection[Record] | None = None,
) -> Trained:
    """Measure what a run has saved, as it is on disk, and write down what it came to.

    `pixels`: the images that can be opened, where some are gone.
    """
    with clock.stage("evaluate"):
        saved = load_checkpoint(run, TASKS)  # what is measured is what is on disk
        test = _test_probabilities(context, saved, on_progress)
        metrics = metrics_of(context, trained, test)
        run_files.write_predictions(run, context, trained, {"val": trained.held_out, "test": test})
        difference = _difference(context, saved, trained, pixels)
        for note in _caveats(context, plan, metrics, difference):
            on_progress(note)
    result = result_of(context, run, plan, metrics, trained, head, outcome, clock)
    if context.config.report:
        with clock.stage("report"):
            result = _for_the_report(context, result, head, saved)
            if head and context.manifest.task == CLASSIFICATION:
                run_files.write_map(run, data_map.points(context, head))
        result = replace(result, seconds=clock.all())
    run_files.write_result(run, result)
    return Trained(result, saved)


def _test_probabilities(
    context: RunContext, saved: Classifier, on_progress: OnProgress
) -> np.ndarray | None:
    """Return what the network on disk says of the test images; None where there are none.

    Where its frozen part is what the images passed already, its features are taken from the cache.
    """
    records = context.manifest.of("test")
    if not records:
        return None
    passed = context.config.cache and not context.config.from_scratch
    if not passed or saved.backbone.digest != context.backbone.digest:
        return probabilities(saved, records, on_progress)
    [rows] = features.extract(saved.backbone, records, [context.feature_spec])
    return choice.probabilities_of(context, saved, rows)


def metrics_of(
    context: RunContext, trained: TrainedModel, test: np.ndarray | None
) -> dict[str, Figures]:
    measured = {"val": trained.held_out} | ({} if test is None else {"test": test})
    return {
        split: context.task.evaluate(
            array,
            context.labels(split),
            context.classes,
            split=split,
            seed=context.config.seed,
            thresholds=trained.classifier.thresholds,
            interval=trained.classifier.interval,
        )
        for split, array in measured.items()
    }


def _difference(
    context: RunContext,
    saved: Classifier,
    trained: TrainedModel,
    pixels: Collection[Record] | None = None,
) -> float:
    """Return how far the network on disk, from pixels, is from what was computed in parts.

    As the greatest difference of a probability on some validation images of every class, of those
    in `pixels` if that is given.
    """
    records = context.manifest.of("val")
    there = np.array([pixels is None or record in pixels for record in records])
    if not there.any():
        return 0.0
    labels = [record.label for record in records]
    if context.manifest.task == REGRESSION:
        labels = list(context.classes) * len(records)
    _, numbers = np.unique(labels, return_inverse=True)
    kinds = np.unique(numbers[there])
    most = CHECKED_A_CLASS if CHECKED_A_CLASS * len(kinds) <= CHECKED else 1
    if context.manifest.task == REGRESSION:
        most = CHECKED_A_CLASS * CHECKED_A_CLASS
    chosen = np.concatenate([np.flatnonzero(there & (numbers == kind))[:most] for kind in kinds])
    chosen = chosen[: max(CHECKED, len(context.classes))]  # of labels there are many combinations
    whole = _from_pixels(saved, [records[i] for i in chosen])
    return float(np.abs(whole - trained.fitted[chosen]).max())


def _from_pixels(saved: Classifier, records: Sequence[Record]) -> np.ndarray:
    """Return a network's probabilities, float32 [n, C]; called, for few images need no tracing."""
    images = features.images(records, saved.backbone.image_size)
    batches = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
    return np.concatenate([np.asarray(saved.model(x, training=False)) for x in batches])


def _caveats(
    context: RunContext, plan: FreezePlan, metrics: Mapping[str, Figures], difference: float
) -> Iterator[Note]:
    """Yield what a careful person would add to the figures."""
    allowed = ROUNDING if context.precision == "float32" else ROUNDING_MIXED
    number = context.manifest.task == REGRESSION
    if number:
        allowed *= float(context.labels("train").std())
    if not difference <= allowed:
        what = "values" if number else "probabilities"
        yield Note(
            f"The saved network's {what} differ by up to {difference:.3g} from what was "
            "computed while training; --feature-dtype float32 and --precision float32 are exact.",
            warning=True,
        )
    if "test" not in metrics and plan.trains_backbone:
        yield Note(
            "There are no test images: the validation images also chose what is kept, so their "
            "figures are a little too good. Keep some aside with --test 0.1."
        )


def _trained_count(trained: TrainedModel, plan: FreezePlan, outcome: Outcome) -> int:
    """Return how many numbers of the saved network were trained: of a kept head, the head's."""
    head = isinstance(outcome, FinetuneResult) and outcome.kept == HEAD
    layers = trained.classifier.freeze_up_to(plan.blocks if head else plan.frozen_blocks)
    return sum(math.prod(w.shape) for layer in layers for w in layer.trainable_weights)


def _for_the_report(
    context: RunContext, result: RunResult, head: SolvedHead | None, saved: Classifier
) -> RunResult:
    """Return the result with what only a page tells: how fast it is, would more images help."""
    return replace(
        result,
        milliseconds=_milliseconds(saved),
        learning_curve=_learning_curve(context, head) if head else None,
    )


def _milliseconds(saved: Classifier) -> float:
    """Return how long the saved network takes for one image, once it is opened."""
    side = saved.backbone.image_size
    image = np.zeros((1, side, side, 3), "float32")
    model = saved.inference_model
    return round(1000 * time_budget.least_seconds(lambda: model.predict_on_batch(image)), 1)


def _learning_curve(context: RunContext, head: SolvedHead) -> LearningCurve | None:
    """Return how the head's accuracy grows with the images, on those that were held out.

    None where an image may have several labels: there is no accuracy.
    """
    if context.manifest.task != CLASSIFICATION:
        return None
    held_out = [split for split in ("val", "test") if context.manifest.of(split)]
    return learning_curve(
        head.features["train"],
        context.labels("train"),
        stacked([head.features[split] for split in held_out]),
        context.labels(*held_out),
        len(context.classes),
        head.widths,
        seed=context.config.seed,
        sample_weight=context.sample_weights("train"),
        groups=context.groups("train"),
    )


def result_of(
    context: RunContext,
    run: RunDir,
    plan: FreezePlan,
    metrics: Mapping[str, Figures],
    trained: TrainedModel,
    head: SolvedHead | None,
    outcome: Outcome,
    clock: Clock,
) -> RunResult:
    return RunResult(
        run=str(run.final_path),
        plan=plan.to_json(),
        metrics=metrics,
        seconds=clock.all(),
        head=head.result if head else None,
        tune=outcome if isinstance(outcome, FinetuneResult) else None,
        scratch=outcome if isinstance(outcome, FromScratchResult) else None,
        trained_parameters=_trained_count(trained, plan, outcome),
        peak_memory=resources.peak_memory(),
        parameters=trained.classifier.model.count_params(),
        model_bytes=(run / run_dir.WEIGHTS).stat().st_size,
        solved=_solved(context, head),
        image_size=context.backbone.image_size,
        precision=context.precision,
        refit=trained.refit,
        notes=context.manifest.notes,
        task=context.manifest.task,
    )


def _solved(context: RunContext, head: SolvedHead | None) -> CandidateResult | None:
    """Return what a tuning is to be held against; None where there can be none."""
    if head is None or context.manifest.task != CLASSIFICATION:
        return None
    return judged(context, head_candidate(context, head, ()))
