"""What a training writes into its run directory. Knows the files' formats; decides nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tl_cli import csv_cells, engine
from tl_cli.data import quantities
from tl_cli.data.csv_io import bad_csv_text, write_csv
from tl_cli.data.manifest import REGRESSION
from tl_cli.engine import unknown_file
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.settings import FinetuneSettings, from_json, to_json
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.trained_model import TrainedModel
from tl_cli.plan import FreezePlan
from tl_cli.results import data_map, predictions, regression
from tl_cli.results.data_map import MapPoint
from tl_cli.results.predictions import Prediction
from tl_cli.results.regression import ValuePrediction
from tl_cli.results.training import RunResult
from tl_cli.store import resume, run_dir
from tl_cli.store.run_dir import RunDir

SAVED_COPIES = 4  # checkpoint and exported model, each beside the one that it replaces


def write_inputs(run: RunDir, context: RunContext) -> None:
    """Write what is known before anything is computed. Raises TLError on too full a disk."""
    run.need(SAVED_COPIES * 4 * context.backbone.model.count_params())
    write_csv(context.manifest, run / run_dir.MANIFEST)
    run.write_text(run_dir.CONFIG, context.config.to_yaml())
    run.write_json(run_dir.LABELS, list(context.classes))
    run.write_json(run_dir.ENVIRONMENT, engine.environment())
    if context.manifest.bad:
        run.write_text(run_dir.BAD_FILES, bad_csv_text(context.manifest))
    (run / resume.FOLDER).mkdir(exist_ok=True)
    run.write_json(  # last: with it, the images are known when the run is gone on with
        resume.INPUTS,
        {
            "source": context.manifest.source,
            "classes": list(context.classes),
            "notes": list(context.manifest.notes),
        },
    )


def write_plan(
    run: RunDir, context: RunContext, settings: FinetuneSettings, head: SolvedHead | None
) -> None:
    """Write plan.json, and config.yaml with all that was decided in place of `auto`."""
    plan = settings.plan
    decided: dict[str, Any] = {
        "image_size": context.backbone.image_size,
        "precision": context.precision,
        "freeze": f"{plan.freeze_ratio:g}",
        "batch_size": plan.batch_size,
    }
    if context.config.effort != "normal":  # it says what to decide, and now that is decided
        decided["effort"] = "normal"
    if head:
        decided["head"] = head.kind
    if plan.trains_backbone:
        decided |= {
            "epochs": plan.epochs,
            "learning_rate": plan.learning_rate,
            "weight_decay": plan.weight_decay,
            "augment": plan.augment,
            "layer_decay": plan.layer_decay,
            "label_smoothing": plan.label_smoothing,
            "views": settings.views,
        }
        if plan.augment != "none":
            decided["mirror"] = "yes" if settings.mirror else "no"
    run.write_text(run_dir.CONFIG, context.config.effective(**decided).to_yaml())
    run.write_json(run_dir.PLAN, plan.to_json())
    run.write_json(resume.SETTINGS, to_json(settings))


def kept_settings(run: RunDir, context: RunContext) -> FinetuneSettings | None:
    """Return what was decided before the run was cut off; None where nothing was."""
    kept = resume.kept(run, resume.SETTINGS)
    if not kept:
        return None
    try:
        return from_json(context, kept)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise resume.damaged(run, resume.SETTINGS) from error


def save(
    run: RunDir, context: RunContext, trained: TrainedModel, plan: FreezePlan | None = None
) -> None:
    """Write a classifier as a whole: weights, exported model, checkpoint, held-out answers.

    And what tells unknown images, where it is known.
    """
    with contextlib.ExitStack() as beside:
        path = beside.enter_context(run.replacing(run_dir.HELD_OUT))
        if trained.unknown:
            unlike = beside.enter_context(run.replacing(run_dir.UNKNOWN_SCORE))
            unknown_file.write(unlike, trained.unknown)
        else:
            (run / run_dir.UNKNOWN_SCORE).unlink(missing_ok=True)
        with path.open("wb") as file:
            np.save(file, trained.held_out.astype("float32"), allow_pickle=False)
        trained.classifier.save(
            run,
            freeze_ratio=plan.freeze_ratio if plan else 1.0,
            precision=context.precision,
            refit=trained.refit,
        )


def write_history(
    run: RunDir, history: Sequence[Mapping[str, Any]], gradients: Sequence[Mapping[str, Any]]
) -> None:
    """Write a row an epoch, and those of the gradients where they were asked for."""
    if history:
        run.write_text(run_dir.HISTORY, _csv(history))
    if gradients:
        run.write_text(run_dir.GRADIENTS, _csv(gradients))


def write_predictions(
    run: RunDir,
    context: RunContext,
    trained: TrainedModel,
    answers: Mapping[str, np.ndarray | None],
) -> None:
    """Write predictions.csv: a row for each image of the splits, with what is said of it."""
    if context.manifest.task == REGRESSION:
        run.write_text(run_dir.PREDICTIONS, regression.csv_text(_values(context, answers)))
        return
    thresholds = trained.classifier.thresholds
    rows = _predictions(context, answers, thresholds)
    run.write_text(run_dir.PREDICTIONS, predictions.csv_text(rows))


def write_map(run: RunDir, points: Sequence[MapPoint]) -> None:
    """Write map.csv, where there is a map."""
    if points:
        run.write_text(run_dir.MAP, data_map.csv_text(points))


def write_result(run: RunDir, result: RunResult) -> None:
    """Write metrics.json."""
    run.write_json(run_dir.METRICS, result.metrics_json())


def _predictions(
    context: RunContext,
    answers: Mapping[str, np.ndarray | None],
    thresholds: Sequence[float],
) -> Iterator[Prediction]:
    for split, probabilities in answers.items():
        if probabilities is None:
            continue
        for record, row in zip(context.manifest.of(split), probabilities, strict=True):
            said, probability = context.task.answer(row, context.classes, thresholds)
            yield Prediction(record.path, split, record.label, said, probability)


def _values(
    context: RunContext, answers: Mapping[str, np.ndarray | None]
) -> Iterator[ValuePrediction]:
    for split, said in answers.items():
        if said is not None:
            for record, row in zip(context.manifest.of(split), said, strict=True):
                yield ValuePrediction(record.path, split, quantities.value(record), float(row[0]))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of all columns that any row has."""
    columns = dict.fromkeys(name for row in rows for name in row)
    return csv_cells.of_mappings(columns, rows, lacking="nan")
