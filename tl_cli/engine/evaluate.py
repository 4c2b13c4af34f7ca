"""A checkpoint and images of known classes -> all that an evaluation has to say.

Loads, measures, and puts together what `evaluate` and `appraise` make of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tl_cli import config
from tl_cli.data.csv_io import read_csv
from tl_cli.data.manifest import Manifest
from tl_cli.engine import predict
from tl_cli.engine.finetune import flip_check
from tl_cli.engine.metrics import diagnostics, figures
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.predict import LabelledPredictions
from tl_cli.errors import TLError
from tl_cli.results.evaluation import Against, Diagnostics, Evaluation, Threshold
from tl_cli.results.progress import Note, OnProgress
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir


@dataclass(frozen=True)
class EvaluationRequest:
    """What is to be evaluated, and what is asked beside the figures."""

    manifest: Manifest
    split: str
    own: bool  # whether these are the run's own images
    sliced_by: str | None = None  # the name of a column
    column: Mapping[str, str] | None = None  # and its values, by path
    target_precision: float | None = None
    target_recall: float | None = None
    against: RunDir | None = None
    tta: bool = False


@dataclass(frozen=True)
class EvaluatedModel:
    """The figures, what follows from them, and the answers that they come from."""

    evaluation: Evaluation
    diagnostics: Diagnostics
    answers: LabelledPredictions


def evaluate(run: RunDir, wanted: EvaluationRequest, on_progress: OnProgress) -> EvaluatedModel:
    """Evaluate a checkpoint. Raises TLError for what the user can mend."""
    records, labels = predict.known(run, wanted.manifest, wanted.split)
    if wanted.against:
        predict.known(wanted.against, wanted.manifest, wanted.split)
    built = predict.load_checkpoint(run)
    mirrored = wanted.tta and _may_mirror(run, built, on_progress)
    found = predict.measure(built, records, labels, on_progress, mirrored=mirrored)
    same = wanted.own and wanted.split == "val"
    validation = found if same else _validation(run, built, on_progress, mirrored=mirrored)
    told = replace(
        diagnostics.diagnose(found, validation),
        sliced_by=wanted.sliced_by,
        slices=None if wanted.column is None else diagnostics.slices(found, wanted.column),
        thresholds=_thresholds(found, validation, wanted),
        against=_against(found, wanted, on_progress),
        mirrored=mirrored,
    )
    evaluation = figures.evaluate(found.probabilities, labels, built.classes, split=wanted.split)
    return EvaluatedModel(evaluation, told, found)


def _validation(
    run: RunDir, built: Classifier, on_progress: OnProgress, *, mirrored: bool = False
) -> LabelledPredictions | None:
    """Return the answers to the run's own validation images, None where they are gone."""
    try:
        records, labels = predict.known(run, read_csv(run / run_dir.MANIFEST), "val")
        return predict.measure(
            built, records, labels, on_progress, mirrored=mirrored, stage="validation"
        )
    except TLError:
        on_progress(
            Note("The run's validation images are gone: no temperature is fitted.", warning=True)
        )
        return None


def _may_mirror(run: RunDir, built: Classifier, on_progress: OnProgress) -> bool:
    """Return whether the run allows mirroring; where that is open, its validation images decide."""
    try:
        said = config.load(run / run_dir.CONFIG).mirror
    except TLError:
        said = "auto"
    if said == "no":
        on_progress(Note("The run must not be mirrored (mirror: no): --tta is left out.", True))
    if said != "auto":
        return said == "yes"
    plain, both = (_validation(run, built, on_progress, mirrored=m) for m in (False, True))
    if plain is None or both is None:
        return False
    flipped = 2 * both.probabilities - plain.probabilities
    may, why = flip_check.verdict(plain.right, flipped.argmax(1) == plain.labels, plain.labels)
    on_progress(Note(f"Mirroring: {'yes' if may else 'no, --tta is left out'}; {why}.", not may))
    return may


def _thresholds(
    found: LabelledPredictions, validation: LabelledPredictions | None, wanted: EvaluationRequest
) -> tuple[Threshold, ...] | None:
    targets = {"precision": wanted.target_precision, "recall": wanted.target_recall}
    asked = {goal: target for goal, target in targets.items() if target is not None}
    if not asked:
        return None
    chosen_on, split = (found, wanted.split) if validation is None else (validation, "val")
    return tuple(
        each
        for goal, target in asked.items()
        for each in diagnostics.thresholds(found, chosen_on, split, goal, target)
    )


def _against(
    found: LabelledPredictions, wanted: EvaluationRequest, on_progress: OnProgress
) -> Against | None:
    if wanted.against is None:
        return None
    records, labels = predict.known(wanted.against, wanted.manifest, wanted.split)
    built = predict.load_checkpoint(wanted.against)
    other = predict.measure(built, records, labels, on_progress, stage="against")
    return diagnostics.against(found, other, str(wanted.against.path))
