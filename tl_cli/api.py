"""The commands as functions of Python: the same road, the same results to the last bit, no output.

Thin: options are checked by RunConfig, the work is done where the commands have it done. What goes
wrong and can be mended is a TLError; what happens meanwhile goes to `on_progress`, if it is given.
Like the commands, it sets the seeds of the process while it works; those of `random` and numpy, and
Keras' precision, are put back.
"""

from __future__ import annotations

import functools
import inspect
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, ParamSpec, TypeVar, overload

from tl_cli.errors import TLError, unknown

if TYPE_CHECKING:
    from typing import Unpack

    import numpy as np
    from PIL.Image import Image as Picture

    from tl_cli.api_options import Options
    from tl_cli.console.screen import Screen
    from tl_cli.engine.networks.classifier import Classifier
    from tl_cli.engine.predict import Source
    from tl_cli.engine.train import Trained
    from tl_cli.plan import FreezePlan
    from tl_cli.results.evaluation import Diagnostics, Evaluation
    from tl_cli.results.progress import OnProgress
    from tl_cli.store.prediction_writer import ImagePrediction

    Path_ = str | os.PathLike[str]
    Image = str | os.PathLike[str] | Picture | np.ndarray

P = ParamSpec("P")
R = TypeVar("R")


class Guess(NamedTuple):
    """One class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What one image was taken for. Iterated over, it gives its label and its probability."""

    path: str  # "" of an image in memory
    label: str  # `unknown` unlike all training images, `unsure` below `min_confidence`; "": error
    top: tuple[Guess, ...]  # the best first, `top_k` of them
    probabilities: Mapping[str, float] = field(repr=False)  # of every class, by its name
    error: str = ""  # why it could not be opened, where errors are kept
    unknown_score: float | None = None  # above 1: unlike all training images; None: nobody can tell

    @property
    def probability(self) -> float:
        """The probability of the best guess; not a number with an error."""
        return self.top[0].probability if self.top else float("nan")

    def __iter__(self) -> Iterator[Any]:
        return iter((self.label, self.probability))


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """What images were taken for, in the order in which they were given."""

    rows: tuple[Prediction, ...]
    classes: tuple[str, ...]
    left_out: Mapping[str, int]  # files of folders that are no images, by ending

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Prediction, ...]: ...
    def __getitem__(self, index: int | slice) -> Prediction | tuple[Prediction, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> list[str]:
        """The label of each image."""
        return [row.label for row in self.rows]

    @property
    def probabilities(self) -> np.ndarray:
        """All probabilities, float32 [n, C] in the order of `classes`; NaN where there are none."""
        import numpy as np

        rows = [[row.probabilities.get(c, np.nan) for c in self.classes] for row in self.rows]
        return np.array(rows, "float32").reshape(len(rows), len(self.classes))


@dataclass(frozen=True)
class EvaluationResult:
    """A classifier's figures on images of known classes, and what follows from them."""

    figures: Evaluation
    diagnostics: Diagnostics = field(repr=False)

    @property
    def accuracy(self) -> float:
        """The share of images that were recognised, 0 to 1."""
        return self.figures.accuracy

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the accuracy."""
        return self.figures.intervals["accuracy"]

    def to_json(self) -> dict[str, Any]:
        """Return what `tl evaluate --json` prints, but for pictures; keys as in docs/json.md."""
        return self.figures.to_json() | self.diagnostics.to_json()


class Model:
    """A trained classifier, as `tl train` left it in a run directory."""

    def __init__(self, run: Path, classifier: Classifier) -> None:
        from tl_cli.data import grey_levels

        self.run = run
        self._classifier = classifier
        self._grey_levels = grey_levels.in_use()

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
        names = _settings(data or "-", {"columns": columns}).column_names()
        with _session(on_progress) as screen:
            return _evaluate(self.run, _plain(data), split, bad_images, names, request, screen)


@dataclass(frozen=True)
class TrainingResult:
    """A finished training: where it lies, what it came to, and the classifier itself."""

    run: Path
    model: Model
    figures: Mapping[str, Evaluation]  # by split: val, and test where there are test images
    plan: FreezePlan = field(repr=False)
    report: Path | None
    _told: Mapping[str, Any] = field(repr=False)

    @property
    def accuracy(self) -> float:
        """The share of images that were recognised: of the test images, else of validation."""
        return (self.figures.get("test") or self.figures["val"]).accuracy

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

    with _session(None):
        folder = run_dir.checkpoint_of(Path(run))
        from tl_cli.engine import predict

        return Model(folder.path, predict.load_checkpoint(folder))


def train(
    data: Path_,
    *,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    **options: Unpack[Options],
) -> TrainingResult:
    """Train a classifier as `tl train` does, and return the run with its model.

    `data`: a folder of class folders, a table, `tfds:NAME` or `sample:digits`. `options`: those of
    the command, with underscores; every one is listed by `tl train --help-all`. `overwrite`:
    replace the run in `output`. Raises one TLError that names every mistake in the options.
    """
    settings = _settings(data, options)
    with _session(on_progress) as screen:
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
    settings = _settings(data or "-", options)
    with _session(on_progress) as screen:
        return _recommend(settings, size, classes, screen)


Model.predict = _with_known_options(Model.predict)  # type: ignore[method-assign]
Model.evaluate = _with_known_options(Model.evaluate)  # type: ignore[method-assign]


# == how they do it ================================================================================


@contextmanager
def _session(on_progress: OnProgress | None) -> Iterator[Screen]:
    """Give a screen that hands on what happens; what a disk does becomes a TLError."""
    from tl_cli.cli.session import of_the_system
    from tl_cli.console.silent import SilentScreen
    from tl_cli.results.progress import silent
    from tl_cli.store import notices

    screen = SilentScreen(on_progress or silent)
    try:
        with (
            _random_states_kept(),
            screen,
            notices.listening(lambda text: screen.note(text, warning=True)),
        ):
            yield screen
    except OSError as error:
        raise of_the_system(error) from error


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """Put back what `engine.prepare` sets for the whole process: the caller has a life of its own.

    TensorFlow's own seed cannot be read, and stays.
    """
    import random
    import sys

    import numpy as np

    drawn, numpys = random.getstate(), np.random.get_state()
    keras = sys.modules.get("keras")  # a mistake is told before it is loaded
    policy = keras.config.dtype_policy() if keras else None
    try:
        yield
    finally:
        random.setstate(drawn)
        np.random.set_state(numpys)
        if keras := sys.modules.get("keras"):
            keras.config.set_dtype_policy(policy or keras.config.floatx())


def _settings(data: Path_, options: Mapping[str, Any]) -> Any:
    """Return the configuration. Raises one TLError that names every mistake."""
    from tl_cli import config

    values = {name: _plain(value) for name, value in {"data": data, **options}.items()}
    if isinstance(mirror := values.get("mirror"), bool):
        values["mirror"] = "yes" if mirror else "no"
    try:
        return config.load(flags=values)
    except TLError as error:
        raise TLError(error.message, "every option: tl train --help-all") from None


def _plain(value: Any) -> Any:
    """Return a value as RunConfig knows it."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


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
    manifest = manifest_of(settings, screen)
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
    from tl_cli.data.columns import column
    from tl_cli.engine import evaluate
    from tl_cli.store.run_dir import checkpoint_of

    folder, sliced_by = checkpoint_of(run), request["sliced_by"]
    manifest, chosen = evaluated(folder, data, split, screen, bad_images, names)
    values = column(manifest, sliced_by, data, names) if sliced_by else None
    if data is not None:
        manifest = evaluate.comparable(folder, manifest, screen.on_progress)
    wanted = evaluate.EvaluationRequest(
        manifest=manifest, split=chosen, own=data is None, column=values, **request
    )
    found = evaluate.evaluate(folder, wanted, screen.on_progress)
    return EvaluationResult(found.evaluation, found.diagnostics)


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
    inputs = list(_inputs(images, left_out))
    if not inputs:
        return Predictions((), model.classes, {})
    with _session(on_progress) as screen:
        from tl_cli.data import grey_levels
        from tl_cli.engine import predict
        from tl_cli.results.progress import Progress
        from tl_cli.store.run_dir import RunDir

        grey_levels.use(model._grey_levels)
        rows: list[Prediction] = []
        for batch in predict.answers(
            model._classifier, inputs, top=len(model.classes), least=min_confidence,
            batch_size=batch_size,
            unlike=predict.unknown_score(RunDir(model.run), model._classifier, unlike),
        ):  # fmt: skip
            for answer in batch:
                if answer.error and errors == "raise":
                    raise _unreadable(answer, len(rows))
                rows.append(_prediction(answer, model.classes, top_k))
            screen.on_progress(Progress("predict", len(rows), len(inputs)))
    return Predictions(tuple(rows), model.classes, dict(left_out))


def _prediction(answer: ImagePrediction, classes: Sequence[str], top_k: int) -> Prediction:
    said = dict(answer.guesses)
    return Prediction(
        path=answer.path,
        label=answer.label,
        top=tuple(Guess(*guess) for guess in answer.guesses[:top_k]),
        probabilities={name: said[name] for name in classes} if said else {},
        error=answer.error,
        unknown_score=answer.unknown_score,
    )


def _unreadable(answer: ImagePrediction, number: int) -> TLError:
    from tl_cli.humanize import short

    name = short(answer.path) if answer.path else f"image {number}"
    return TLError(f"{name} {answer.error}", "errors='keep' gives such an image a row of its own")


def _inputs(images: Image | Iterable[Image], left_out: Counter[str]) -> Iterator[Source]:
    """Yield paths, files and pictures; paths are what they are on the command line."""
    from PIL.Image import Image as Picture

    from tl_cli.data.sources.inputs import named_images

    one = isinstance(images, str | os.PathLike | Picture) or _is_picture(images)
    for given in [images] if one else images:  # type: ignore[union-attr]
        if isinstance(given, str | os.PathLike):
            path = os.fspath(given)
            if path == "-":
                raise TLError("'-' stands for standard input, of the command alone", "give a list")
            yield from named_images([path], (), left_out)
        elif isinstance(given, Picture):
            yield _file_of(given) or given
        else:
            yield _picture(given)


def _file_of(picture: Picture) -> io.BytesIO | None:
    """Return the file of a picture that was opened and not decoded; None where it was.

    It is then decoded as any other file, and the caller's own picture is left as it is.
    """
    file = getattr(picture, "fp", None)
    if not file or not getattr(picture, "tile", None):
        return None
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    return io.BytesIO(data)


def _is_picture(images: object) -> bool:
    """Return whether this is one array [h, w] or [h, w, 3], and not a batch of them."""
    shape = getattr(images, "shape", None)
    return shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))


def _picture(array: Any) -> Picture:
    """Return an array as a picture. Raises TLError for what is none."""
    import numpy as np
    from PIL import Image

    if not isinstance(array, np.ndarray):
        raise TLError(
            f"an image cannot be a {type(array).__name__}",
            "give paths, pictures of PIL, or arrays uint8 [height, width, 3]",
        )
    if array.dtype != np.uint8 or not _is_picture(array) or 0 in array.shape:
        raise TLError(
            f"an array of {array.dtype} {list(array.shape)} is no image",
            "give uint8 [height, width, 3], RGB from 0 to 255",
        )
    return Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array)
