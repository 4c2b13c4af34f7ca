"""A checkpoint and images of known classes -> all that an evaluation has to say.

Loads, asks the network, and puts together what `metrics` make of its answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tl_cli import config
from tl_cli.data import class_names
from tl_cli.data.csv_io import read_csv
from tl_cli.data.manifest import CLASSIFICATION, Manifest, Record
from tl_cli.engine import fitted_images, predict, run_images
from tl_cli.engine.finetune import flip_check
from tl_cli.engine.fitted_images import FittedImages
from tl_cli.engine.metrics import diagnostics, figures
from tl_cli.engine.networks.classifier import Classifier, describe
from tl_cli.engine.predict import LabelledPredictions
from tl_cli.engine.run_images import RunImages
from tl_cli.engine.tasks import TASKS, Figures
from tl_cli.errors import TLError
from tl_cli.results.evaluation import Against, Diagnostics, Sliced, Threshold, TrainedOn
from tl_cli.results.intervals import wilson
from tl_cli.results.measures import MEASURES
from tl_cli.results.progress import Note, OnProgress
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

GONE = "The run's validation images are gone"


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

    evaluation: Figures
    diagnostics: Diagnostics | None  # None where an image may have several labels
    answers: LabelledPredictions
    sliced: Sliced | None = None  # where that is so, and a column was asked for


def evaluate(run: RunDir, request: EvaluationRequest, on_progress: OnProgress) -> EvaluatedModel:
    """Evaluate a checkpoint. Raises TLError for what the user can mend.

    The run's validation images are answered for as they were before a refit, held out.
    """
    predict.known(run, request.manifest, request.split)
    if request.against:
        predict.known(request.against, request.manifest, request.split)
    fitted = fitted_images.load(run)
    if request.own:
        request = replace(request, manifest=_still_there(run, request, fitted, on_progress))
    records, labels = predict.known(run, request.manifest, request.split)
    classifier = predict.load_checkpoint(run, tuple(TASKS))
    mirrored = request.tta and _may_mirror(run, classifier, fitted, on_progress)
    answers = _answers(classifier, records, labels, fitted, on_progress, mirrored=mirrored)
    trained_on = _trained_on(answers, fitted, classifier.task)
    for note in _told(answers, fitted, trained_on):
        on_progress(note)
    evaluation = TASKS[classifier.task].evaluate(
        answers.probabilities,
        labels,
        classifier.classes,
        split=request.split,
        thresholds=classifier.thresholds,
        interval=classifier.interval,
    )
    if classifier.task != CLASSIFICATION:
        return EvaluatedModel(evaluation, None, answers, _sliced(answers, classifier, request))
    same = request.own and request.split == "val"
    validation = (
        answers if same else _validation(run, classifier, fitted, on_progress, mirrored=mirrored)
    )
    result = replace(
        diagnostics.diagnose(answers, validation),
        sliced_by=request.sliced_by,
        slices=None if request.column is None else diagnostics.slices(answers, request.column),
        thresholds=_thresholds(answers, validation, request),
        against=_against(answers, request, on_progress),
        mirrored=mirrored,
        trained_on=trained_on,
    )
    return EvaluatedModel(evaluation, result, answers)


def _sliced(
    answers: LabelledPredictions, built: Classifier, request: EvaluationRequest
) -> Sliced | None:
    """Return the figure that runs are compared by for each value of a column; None without one."""
    if request.column is None or request.sliced_by is None:
        return None
    measure, of_image = MEASURES[built.task], TASKS[built.task].of_image
    figures = of_image(answers.probabilities, answers.labels, built.thresholds)
    rows = diagnostics.mean_slices(answers.records, figures, request.column, measure)
    return Sliced(request.sliced_by, measure.key, rows)


def _still_there(
    run: RunDir, request: EvaluationRequest, fitted: FittedImages, on_progress: OnProgress
) -> Manifest:
    """Return those of the run's own images whose pixels or answers are still to be had.

    Raises TLError where there are none.
    """
    size = int(describe(run)["image_size"])
    what = f"{request.split} images of {run.path}".removeprefix("all ")
    # another checkpoint is asked about all of them, and has kept answers of its own
    answered = () if request.against else fitted.held_out.keys()
    there = run_images.find(request.manifest.of(request.split), what, size, answered=answered)
    there.require("put them back where they were, or evaluate on others: --data DIR")
    run_images.tell(there, on_progress)
    return replace(request.manifest, records=there.records)


def comparable(run: RunDir, manifest: Manifest, on_progress: OnProgress) -> Manifest:
    """Return the images of classes that the checkpoint knows, and say what was left out."""
    known = class_names.known(manifest, predict.classes(run))
    for note in known.notes[len(manifest.notes) :]:
        on_progress(Note(note, warning=True))
    return known


def _answers(
    classifier: Classifier,
    records: Sequence[Record],
    labels: np.ndarray,
    fitted: FittedImages,
    on_progress: OnProgress,
    *,
    mirrored: bool = False,
    stage: str = "evaluate",
) -> LabelledPredictions:
    """Return what is said of the records: the network's answers, or what was kept held out."""
    kept = fitted.known(records)
    probabilities = np.empty((len(records), len(classifier.classes)), "float32")
    for i in np.flatnonzero(kept).tolist():
        probabilities[i] = fitted.held_out[records[i].digest]
    others = np.flatnonzero(~kept)
    if len(others):
        measured = predict.measure(
            classifier,
            [records[i] for i in others.tolist()],
            labels[others],
            on_progress,
            mirrored=mirrored,
            stage=stage,
        )
        probabilities[others] = measured.probabilities
    return LabelledPredictions(classifier.classes, tuple(records), labels, probabilities)


def _trained_on(answers: LabelledPredictions, fitted: FittedImages, task: str) -> TrainedOn | None:
    """Return how many images were trained on, or nearly, and the accuracy on the others."""
    trained = fitted.trained_on(answers.records)
    near = fitted.nearly(answers.records) & ~trained & ~fitted.known(answers.records)
    others = ~(trained | near)
    if others.all():
        return None
    if task != CLASSIFICATION:  # there is no accuracy
        return TrainedOn(int(trained.sum()), int(near.sum()), int(others.sum()), None, None)
    right, n = int(answers.right[others].sum()), int(others.sum())
    return TrainedOn(
        int(trained.sum()),
        int(near.sum()),
        n,
        right / n if n else None,
        wilson(right, n) if n else None,
    )


def _told(
    answers: LabelledPredictions, fitted: FittedImages, trained_on: TrainedOn | None
) -> Iterator[Note]:
    """Yield what must be known of images that the network was fitted to."""
    n = len(answers.records)
    if trained_on:
        parts = [f"{trained_on.n:,} of {n:,} images were trained on"] if trained_on.n else []
        parts += [_nearly(trained_on.near, n, bool(parts))] if trained_on.near else []
        rest = (
            f"without them accuracy is {trained_on.accuracy:.3f} on {trained_on.others:,}"
            if trained_on.accuracy is not None
            else f"{trained_on.others or 'no'} others are here"
        )
        yield Note(f"{' and '.join(parts)}; {rest}.", warning=True)
    kept = fitted.known(answers.records)
    if kept.any() and fitted.refit:
        yield Note(
            f"The saved head was fitted to {kept.sum():,} of {n:,} images once all was decided; "
            "their figures are from before that, held out."
        )


def _nearly(near: int, n: int, more: bool) -> str:
    images = f"{near:,} more" if more else f"{near:,} of {n:,} images"
    return f"{images} look nearly the same as images that were trained on"


def _validation(
    run: RunDir,
    classifier: Classifier,
    fitted: FittedImages,
    on_progress: OnProgress,
    *,
    mirrored: bool = False,
) -> LabelledPredictions | None:
    """Return the answers to the run's own validation images, None where they are gone."""
    there = _validation_images(run, classifier, fitted)
    if there is None or not there.records:
        on_progress(Note(f"{GONE}: no temperature is fitted.", warning=True))
        return None
    if there.all_gone:
        on_progress(Note(f"{GONE}: the temperature goes by what is kept of them."))
    else:
        run_images.tell(there, on_progress)
    return _validation_answers(classifier, there.records, fitted, on_progress, mirrored=mirrored)


def _validation_images(
    run: RunDir, classifier: Classifier, fitted: FittedImages
) -> RunImages | None:
    """Return the validation images that can be asked about; None where there is no manifest."""
    try:
        records, _ = predict.known(run, read_csv(run / run_dir.MANIFEST), "val")
    except TLError:  # a checkpoint that was copied alone
        return None
    return run_images.find(
        records,
        f"validation images of {run.path}",
        classifier.backbone.image_size,
        answered=fitted.held_out.keys(),
    )


def _validation_answers(
    classifier: Classifier,
    records: Sequence[Record],
    fitted: FittedImages,
    on_progress: OnProgress,
    *,
    mirrored: bool,
) -> LabelledPredictions:
    labels = figures.encode([record.label for record in records], classifier.classes)
    return _answers(
        classifier, records, labels, fitted, on_progress, mirrored=mirrored, stage="validation"
    )


def _may_mirror(
    run: RunDir, classifier: Classifier, fitted: FittedImages, on_progress: OnProgress
) -> bool:
    """Return whether the run allows mirroring; where that is open, its validation images decide."""
    try:
        said = config.of_run(run / run_dir.CONFIG).mirror
    except TLError:
        said = "auto"
    if said == "no":
        on_progress(Note("The run must not be mirrored (mirror: no): --tta is left out.", True))
    if said != "auto":
        return said == "yes"
    # by what the network itself says: held-out answers are of images as they are alone
    alone = replace(fitted, held_out={})
    there = _validation_images(run, classifier, alone)
    if there is None or not there.records:
        on_progress(Note(f"{GONE}, and they decide on mirroring: --tta is left out.", True))
        return False
    plain, both = (
        _validation_answers(classifier, there.records, alone, on_progress, mirrored=m)
        for m in (False, True)
    )
    flipped = 2 * both.probabilities - plain.probabilities
    may, why = flip_check.verdict(plain.right, flipped.argmax(1) == plain.labels, plain.labels)
    on_progress(Note(f"Mirroring: {'yes' if may else 'no, --tta is left out'}; {why}.", not may))
    return may


def _thresholds(
    answers: LabelledPredictions, validation: LabelledPredictions | None, request: EvaluationRequest
) -> tuple[Threshold, ...] | None:
    targets = {"precision": request.target_precision, "recall": request.target_recall}
    asked = {goal: target for goal, target in targets.items() if target is not None}
    if not asked:
        return None
    chosen_on, split = (answers, request.split) if validation is None else (validation, "val")
    return tuple(
        each
        for goal, target in asked.items()
        for each in diagnostics.thresholds(answers, chosen_on, split, goal, target)
    )


def _against(
    answers: LabelledPredictions, request: EvaluationRequest, on_progress: OnProgress
) -> Against | None:
    if request.against is None:
        return None
    records, labels = predict.known(request.against, request.manifest, request.split)
    classifier, fitted = (
        predict.load_checkpoint(request.against),
        fitted_images.load(request.against),
    )
    other = _answers(classifier, records, labels, fitted, on_progress, stage="against")
    return diagnostics.against(answers, other, str(request.against.path))
