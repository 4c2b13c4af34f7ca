"""The commands as functions of Python: the same road, the same results to the last bit, no output.

Thin: options are checked by RunConfig, the work is done where the commands have it done. What goes
wrong and can be mended is a TLError; what happens meanwhile goes to `on_progress`, if it is given.
Like the commands, it sets the seeds of the process while it works; those of `random` and numpy, and
Keras' precision, are put back.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from tl_cli.api_predictions import Prediction, Predictions, inputs_of, prediction_of, unreadable
from tl_cli.api_results import EvaluationResult, mean_average_precision_of, share
from tl_cli.api_session import plain, session, settings_of
from tl_cli.data.manifest import CLASSIFICATION, TASKS
from tl_cli.errors import TLError, unknown

if TYPE_CHECKING:
    from typing import Unpack

    from tl_cli.api_options import Options
    from tl_cli.api_predictions import Image
    from tl_cli.console.screen import Screen
    from tl_cli.engine.networks.classifier import Classifier
    from tl_cli.engine.outcome import Trained
    from tl_cli.plan import FreezePlan
    from tl_cli.results.evaluation import Evaluation
    from tl_cli.results.multilabel import MultilabelEvaluation
    from tl_cli.results.progress import OnProgress
    from tl_cli.results.regression import ConformalInterval, RegressionEvaluation

    Path_ = str | os.PathLike[str]

P = ParamSpec("P")
R = TypeVar("R")


class Model:
    """A trained classifier, as `tl train` left it in a run directory."""

    def __init__(self, run: Path, classifier: Classifier) -> None:
        from tl_cli.data import decode

        self.run = run
        self._classifier = classifier
        self._reading = decode.settings()

    def __repr__(self) -> str:
        return (
            f"Model({str(self.run)!r}, {len(self.classes)} classes, {self.image_size} px, "
            f"{self._classifier.backbone.card.name})"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the probabilities."""
        return self._classifier.classes

    @property
    def interval(self) -> ConformalInterval | None:
        """How far a predicted number may be off; None of classes, and where that is not known."""
        return self._classifier.interval

    @property
    def image_size(self) -> int:
        """The side of the images that the network sees, in pixels."""
        return self._classifier.backbone.image_size

    @property
    def keras(self) -> Any:
        """The keras.Model: raw RGB 0..255, float32 [b, size, size, 3], in, probabilities out."""
        return self._classifier.model

    def predict(
        self,
        images: Image | Iterable[Image],
        *,
        top_k: int = 1,
        min_confidence: float = 0.0,
        unknown: bool | None = None,
        batch_size: int = 32,
        errors: Literal["raise", "keep"] = "raise",
        on_progress: OnProgress | None = None,
    ) -> Predictions:
        """Say what images show, as `tl predict` does.

        `images`: paths of images or folders, patterns, lists (.txt, .csv), pictures of PIL, or
        arrays uint8 [h, w, 3] of RGB or [h, w] of grey; one or several. An array, or a picture that
        was decoded before, is taken as it is: its probabilities may differ by some hundredths from
        those of its file, for a large JPEG is decoded at 1/2, 1/4 or 1/8. `unknown`: whether
        what is unlike all training images is labelled so; None: where that can be told. `errors`:
        `keep` gives images that cannot be opened a row with an error; else the first one raises
        TLError.
        """
        return _predict(
            self, images, top_k, min_confidence, unknown, batch_size, errors, on_progress
        )  # fmt: skip

    def evaluate(
        self,
        data: Path_ | None = None,
        *,
        split: str | None = None,
        slice: str | None = None,
        target_precision: float | None = None,
        target_recall: float | None = None,
        tta: bool = False,
        bad_images: Literal["skip", "error"] = "skip",
        columns: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> EvaluationResult:
        """Measure it as `tl evaluate` does: on the run's own test images, or on `data`.

        `split`: test, val, train or all; else test, and where there is none val, or all of `data`.
        The other options are those of the command. Raises TLError.
        """
        request = {
            "sliced_by": slice,
            "target_precision": target_precision,
            "target_recall": target_recall,
            "tta": tta,
        }
        names = settings_of(data or "-", {"columns": columns}).column_names()
        with session(on_progress) as screen:
            return _evaluate(self.run, plain(data), split, bad_images, names, request, screen)


@dataclass(frozen=True)
class TrainingResult:
    """A finished training: where it lies, what it came to, and the classifier itself."""

    run: Path
    model: Model
    # by split: val, and test where there are test images
    figures: Mapping[str, Evaluation | MultilabelEvaluation | RegressionEvaluation]
    plan: FreezePlan = field(repr=False)
    report: Path | None
    _told: Mapping[str, Any] = field(repr=False)

    @property
    def accuracy(self) -> float:
        """The share of images that were recognised: of the test images, else of validation.

        Of several labels an image: of which all are right. Raises TLError of a number.
        """
        return share(self.figures.get("test") or self.figures["val"])

    @property
    def mean_average_precision(self) -> float:
        """Of several labels an image, on the same images. Raises TLError where there are none."""
        return mean_average_precision_of(self.figures.get("test") or self.figures["val"])

    def to_json(self) -> dict[str, Any]:
        """Return what `tl train --json` prints, keys as in docs/json.md."""
        return dict(self._told)


def _with_known_options(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, which tells an option that it does not have, with the nearest name."""
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        for name in options:
            if name not in names:
                raise unknown("option", name, [each for each in names if each != "self"])
        return function(*args, **options)

    return call


def load(run: Path_) -> Model:
    """Load a trained classifier: a run directory, or the checkpoint in it. Raises TLError."""
    from tl_cli.store import run_dir

    with session(None):
        folder = run_dir.checkpoint_of(Path(run))
        from tl_cli.engine import predict

        return Model(folder.path, predict.load_checkpoint(folder, TASKS))


def train(
    data: Path_,
    *,
    add: Path_ | Iterable[Path_] = (),
    remove: Path_ | Iterable[Path_] = (),
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    **options: Unpack[Options],
) -> TrainingResult:
    """Train a classifier as `tl train` does, and return the run with its model.

    `data`: a folder of class folders, a table, `tfds:NAME` or `sample:things`. `options`: those of
    the command, with underscores; every one is listed by `tl train --help-all`. `overwrite`:
    replace the run in `output`. Raises one TLError that names every mistake in the options.

    With `add`, folders of images, or `remove`, names of classes or paths of images, `data` is a
    run: its head is solved again on the images that there are then, into a run of its own. Its
    network and settings stay, so of the options `output` and `report` alone go with that. What it
    changed is in `to_json()["update"]`.
    """
    settings = settings_of(data, options)
    add, remove = _paths(add), _paths(remove)
    if add or remove:
        return _changed(data, options, add, remove, overwrite, on_progress)
    with session(on_progress) as screen:
        from tl_cli.cli.train import whole

        run, trained, report = whole(settings, screen, overwrite=overwrite)
        return _training_result(run.path, trained, report)


def recommend_freeze(
    data: Path_ | None = None,
    *,
    size: int | None = None,
    classes: int | None = None,
    on_progress: OnProgress | None = None,
    **options: Unpack[Options],
) -> FreezePlan:
    """Say how much of the backbone to freeze, and why, as `tl recommend-freeze` does.

    Of `data`, whose images are looked at unless `similarity` is stated; or of `size` training
    images of so many `classes`. `options`: those of `train`. Trains nothing. Raises TLError.
    """
    if (data is None) == (size is None) or (size is None) != (classes is None):
        raise TLError("nothing to advise on", "give data, or size and classes together")
    if min(size or 1, classes or 1) < 1:
        raise TLError("size and classes count images and classes: they are 1 or more")
    settings = settings_of(data or "-", options)
    with session(on_progress) as screen:
        return _recommend(settings, size, classes, screen)


Model.predict = _with_known_options(Model.predict)  # type: ignore[method-assign]
Model.evaluate = _with_known_options(Model.evaluate)  # type: ignore[method-assign]


# == how they do it ================================================================================


def _paths(given: Path_ | Iterable[Path_]) -> tuple[str, ...]:
    """Return one path or name, or several, as strings."""
    several = (given,) if isinstance(given, (str, os.PathLike)) else tuple(given)
    return tuple(os.fspath(each) for each in several)


def _changed(
    run: Path_,
    options: Mapping[str, Any],
    add: tuple[str, ...],
    remove: tuple[str, ...],
    overwrite: bool,
    on_progress: OnProgress | None,
) -> TrainingResult:
    """Return what comes of a run with other images."""
    from tl_cli.cli import update

    if why := update.decided(options):
        raise TLError(why.replace("--", ""), "leave it out, or train anew")
    flags = {name: plain(value) for name, value in {**options, "data": run}.items()}
    asked = update.Asked(tuple(map(Path, add)), remove)
    with session(on_progress) as screen:
        _, done, trained, report = update.remade(flags, asked, screen, overwrite=overwrite)
        return _training_result(done.path, trained, report)


def _training_result(run: Path, trained: Trained, report: str | None) -> TrainingResult:
    from tl_cli.plan import FreezePlan

    result = trained.result
    return TrainingResult(
        run=run,
        model=Model(run, trained.classifier),
        figures=result.metrics,
        plan=FreezePlan.from_json(result.plan),
        report=Path(report) if report else None,
        _told={**result.to_json(), "report": report},
    )


def _recommend(settings: Any, size: int | None, classes: int | None, screen: Screen) -> FreezePlan:
    from tl_cli.cli import recommend_freeze as command
    from tl_cli.cli.session import manifest_of
    from tl_cli.plan import FreezePlan

    if size and classes:
        return command.planned(settings, size, classes)
    if settings.similarity:
        return command.stated(settings, screen)
    manifest = manifest_of(settings, screen, TASKS)
    from tl_cli.engine.dry_run import dry_run

    return FreezePlan.from_json(dry_run(settings, manifest, screen.on_progress).plan)


def _evaluate(
    run: Path,
    data: str | None,
    split: str | None,
    bad_images: str,
    names: Mapping[str, str],
    request: Mapping[str, Any],
    screen: Screen,
) -> EvaluationResult:
    from tl_cli.cli.evaluate import evaluated
    from tl_cli.cli.run_directory import require_one_label
    from tl_cli.data.columns import column
    from tl_cli.engine import evaluate
    from tl_cli.store import checkpoint
    from tl_cli.store.run_dir import CHECKPOINT, checkpoint_of

    folder, sliced_by = checkpoint_of(run), request["sliced_by"]
    if checkpoint.task_of(folder / CHECKPOINT) != CLASSIFICATION:
        asked = {k: v for k, v in request.items() if k != "sliced_by"}
        require_one_label(folder, asked, "`figures` has all of them")
    manifest, chosen = evaluated(folder, data, split, screen, bad_images, names)
    values = column(manifest, sliced_by, data, names) if sliced_by else None
    if data is not None:
        manifest = evaluate.comparable(folder, manifest, screen.on_progress)
    wanted = evaluate.EvaluationRequest(
        manifest=manifest, split=chosen, own=data is None, column=values, **request
    )
    found = evaluate.evaluate(folder, wanted, screen.on_progress)
    return EvaluationResult(found.evaluation, found.diagnostics, found.sliced)


def _predict(
    model: Model,
    images: Image | Iterable[Image],
    top_k: int,
    min_confidence: float,
    unlike: bool | None,
    batch_size: int,
    errors: str,
    on_progress: OnProgress | None,
) -> Predictions:
    if errors not in ("raise", "keep"):
        raise unknown("errors", errors, ("raise", "keep"))
    if top_k < 1 or batch_size < 1 or not 0 <= min_confidence <= 1:
        raise TLError("top_k and batch_size are 1 or more, min_confidence is 0 to 1")
    left_out: Counter[str] = Counter()
    inputs = list(inputs_of(images, left_out))
    if not inputs:
        return Predictions((), model.classes, {})
    with session(on_progress) as screen:
        from tl_cli.cli.run_directory import require_one_label
        from tl_cli.data import decode
        from tl_cli.engine import predict
        from tl_cli.results.progress import Progress
        from tl_cli.store.run_dir import RunDir

        decode.use(model._reading)
        if model._classifier.task != CLASSIFICATION:
            several = bool(model._classifier.thresholds)
            asked = {"min_confidence": min_confidence > 0}
            asked |= {} if several else {"top_k": top_k > 1, "unknown": bool(unlike)}
            there = ".probabilities has those of all labels" if several else "each has its `value`"
            require_one_label(RunDir(model.run), asked, there)
        rows: list[Prediction] = []
        for batch in predict.answers(
            model._classifier, inputs, top=len(model.classes), least=min_confidence,
            batch_size=batch_size,
            unlike=predict.unknown_score(RunDir(model.run), model._classifier, unlike),
        ):  # fmt: skip
            for answer in batch:
                if answer.error and errors == "raise":
                    raise unreadable(answer, len(rows))
                rows.append(prediction_of(answer, model.classes, top_k))
            screen.on_progress(Progress("predict", len(rows), len(inputs)))
    return Predictions(tuple(rows), model.classes, dict(left_out))
