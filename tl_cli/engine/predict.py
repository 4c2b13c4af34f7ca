"""A checkpoint and images -> probabilities and answers; images are opened as in training."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import keras
import numpy as np
from PIL.Image import Image as Picture

from tl_cli import engine
from tl_cli.data.decode import decode, fault_of, opened, pixels, squash
from tl_cli.data.faults import check_regular
from tl_cli.data.manifest import CLASSIFICATION, REGRESSION, Manifest, Record
from tl_cli.data.packed import file_of
from tl_cli.data.sources.samples import SCHEME
from tl_cli.engine import unknown_file
from tl_cli.engine.conformal import ConformalSets
from tl_cli.engine.fitted_images import Met
from tl_cli.engine.images import dataset, image_store
from tl_cli.engine.networks import classifier
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.tasks import TASKS
from tl_cli.engine.unknown import UnknownScore
from tl_cli.errors import TLError
from tl_cli.machine import cores
from tl_cli.results.progress import OnProgress, Progress
from tl_cli.store import checkpoint, run_dir
from tl_cli.store.prediction_forms import ImagePrediction, LabelsPrediction, ValuePrediction
from tl_cli.store.prediction_writer import UNKNOWN, UNSURE
from tl_cli.store.run_dir import RunDir

BATCH = 32
Source = str | io.BytesIO | Picture  # a path, an image file in memory, an image that is decoded
AHEAD = 2  # batches that are opened while the network looks at another one


@dataclass(frozen=True)
class LabelledPredictions:
    """What a network says of images whose classes are known."""

    classes: tuple[str, ...]
    records: tuple[Record, ...]
    labels: np.ndarray  # int64 [n]; indicators [n, C] of several labels; values float64 [n]
    probabilities: np.ndarray  # float32 [n, C]

    @property
    def right(self) -> np.ndarray:
        """Whether each image was recognised, bool [n]."""
        return np.asarray(self.probabilities.argmax(1) == self.labels)


def classes(run: RunDir) -> tuple[str, ...]:
    """Return the names of a checkpoint's classes."""
    return tuple(classifier.describe(run)["classes"])


def known(run: RunDir, manifest: Manifest, split: str) -> tuple[tuple[Record, ...], np.ndarray]:
    """Return the records of a split ("all" for every one) and their class numbers or indicators.

    Classes are matched by name; the manifest may lack some of the checkpoint's. Raises TLError for
    a class that the checkpoint does not know, and where the split has no images.
    """
    records = manifest.of(split)
    described = classifier.describe(run)
    task = TASKS[described.get("task", CLASSIFICATION)]
    labels = task.targets(records, described["classes"])
    if not records:
        present = [name for name in ("train", "val", "test") if manifest.of(name)]
        raise TLError(
            f"there are no {split} images in {manifest.source}",
            f"choose --split {' or '.join([*present, 'all'])}",
        )
    return records, labels


def measure(
    built: Classifier,
    records: Sequence[Record],
    labels: np.ndarray,
    on_progress: OnProgress,
    *,
    mirrored: bool = False,
    stage: str = "evaluate",
) -> LabelledPredictions:
    """Return what a classifier says of the records; `mirrored`: mean with their mirror images."""
    found = probabilities(built, records, on_progress, stage=stage)
    if mirrored:
        other = probabilities(built, records, on_progress, flip=True, stage=f"{stage}, mirrored")
        found = (found + other) / 2
    return LabelledPredictions(built.classes, tuple(records), labels, found)


def load_checkpoint(run: RunDir, tasks: Collection[str] = (CLASSIFICATION,)) -> Classifier:
    """Return a run's classifier, in float32 whatever it was trained in.

    `tasks`: what labels may be for the command that asks. Raises TLError for others, and where the
    checkpoint cannot be loaded.

    What it says of an image then depends neither on the device nor on the batch, and is what an
    exported network says too.
    """
    checkpoint.require_task(run / run_dir.CHECKPOINT, tasks)
    engine.prepare("float32", seed=0)
    return classifier.load(run)[0]


def probabilities(
    built: Classifier,
    records: Sequence[Record],
    on_progress: OnProgress,
    *,
    flip: bool = False,
    stage: str = "evaluate",
) -> np.ndarray:
    """Return float32 [n, C] for the records in order; each image is opened once.

    `flip`: of their mirror images.
    """
    store = image_store.store(records, built.backbone.image_size, memory=0, disk=0)
    parts, done = [], 0
    with dataset.clear_errors():
        for images in dataset.batches(store, batch_size=BATCH, training=False):
            x = np.asarray(images[0] if isinstance(images, tuple) else images)
            parts.append(_padded(built.inference_model, x[:, :, ::-1] if flip else x, BATCH))
            done += len(x)
            on_progress(Progress(stage, done, len(records)))
    return np.concatenate(parts)


def _padded(model: keras.Model, x: np.ndarray, batch: int) -> np.ndarray:
    """Return the model's answers to at most `batch` images, always asked for with as many."""
    padded = np.concatenate([x, np.repeat(x[:1], batch - len(x), axis=0)])
    return np.asarray(model.predict_on_batch(padded))[: len(x)]


def answers(
    built: Classifier,
    inputs: Sequence[Source],
    *,
    top: int = 1,
    least: float = 0.0,
    batch_size: int = BATCH,
    unlike: UnknownScore | None = None,
    sets: ConformalSets | None = None,
    met: Met | None = None,
) -> Iterator[list[ImagePrediction]]:
    """Yield, batch by batch and in order, one answer for each path, file in memory, or picture.

    With the `top` best guesses each; labelled `unknown` where the image is beyond the threshold of
    `unlike`, else `unsure` where the best guess has a probability below `least`; with an error
    where the image cannot be opened. Of several labels, all from their thresholds on. With `sets`,
    each has its set of classes. Of a number, its value and how far that may be off. `met` counts
    the files that it knows. Holds a few batches in memory.
    """
    if least and UNSURE in built.classes:
        raise TLError(f"a class of this network is called '{UNSURE}'", "leave out --min-confidence")
    for chunk, images in opened_images(inputs, built.backbone.image_size, batch_size, met):
        good = [image for image in images if not isinstance(image, str)]
        said = _said(built, good, batch_size, unlike)
        yield [
            (ValuePrediction if built.task == REGRESSION else ImagePrediction)(
                _path(given), error=image
            )
            if isinstance(image, str)
            else _answer(_path(given), *next(said), built, top, least, sets)
            for given, image in zip(chunk, images, strict=True)
        ]


def _said(
    built: Classifier, images: Sequence[np.ndarray], batch: int, unlike: UnknownScore | None
) -> Iterator[tuple[np.ndarray, float | None]]:
    """Yield the probabilities [C] of each image, and how unlike the training images it is."""
    if not images:
        return
    x = np.stack(images).astype("float32")
    if unlike is None:
        for p in _padded(built.inference_model, x, batch):
            yield p, None
        return
    padded = np.concatenate([x, np.repeat(x[:1], batch - len(x), axis=0)])
    probabilities, seen = built.inference_with_features.predict_on_batch(padded)
    scores = unlike.scores(np.asarray(seen)[: len(x)]).tolist()
    yield from zip(np.asarray(probabilities)[: len(x)], scores, strict=True)


def unknown_score(run: RunDir, built: Classifier, wanted: bool | None) -> UnknownScore | None:
    """Return what tells unknown images of a run, if it is wanted; None: where there is any.

    Raises TLError where it is asked for and is not to be had, and where it is damaged.
    """
    if wanted is False:
        return None
    if UNKNOWN in built.classes:
        why = f"a class of this network is called '{UNKNOWN}'"
        found = None
    else:
        why = (
            "this checkpoint cannot tell unknown images: it was trained from scratch, on too few "
            "images, or by an older tl"
        )
        found = unknown_file.load(run, built)
    if wanted and found is None:
        raise TLError(why, "leave out --unknown")
    return found


def _answer(
    path: str,
    p: np.ndarray,
    unlike: float | None,
    built: Classifier,
    top: int,
    least: float,
    sets: ConformalSets | None,
) -> ImagePrediction:
    classes = built.classes
    if built.task == REGRESSION:
        radius = built.interval.radius if built.interval else None
        return ValuePrediction(path, unknown_score=unlike, value=float(p[0]), radius=radius)
    if built.thresholds:
        return _several(path, p, built, unlike)
    best = np.argsort(-p, kind="stable")[:top]
    guesses = tuple((classes[i], float(p[i])) for i in best)
    label = UNSURE if guesses[0][1] < least else guesses[0][0]
    label = UNKNOWN if (unlike or 0) > 1 else label
    candidates = tuple(classes[i] for i in sets.of(p[None])[0]) if sets else ()
    return ImagePrediction(path, guesses, label, "", unlike, candidates)


def _several(path: str, p: np.ndarray, built: Classifier, unlike: float | None) -> ImagePrediction:
    said, _ = TASKS[built.task].answer(p, built.classes, built.thresholds)
    order = np.argsort(-p, kind="stable")
    guesses = tuple((built.classes[i], float(p[i])) for i in order)
    said = UNKNOWN if (unlike or 0) > 1 else said
    return LabelsPrediction(path, guesses, said, unknown_score=unlike)


Opened = np.ndarray | str
Given = TypeVar("Given", bound=Source)


def opened_images(
    inputs: Sequence[Given], size: int, batch: int, met: Met | None = None
) -> Iterator[tuple[Sequence[Given], list[Opened]]]:
    """Yield batches of inputs with their images; some are made ahead of the one in use."""
    pool = ThreadPoolExecutor(cores())
    coming: deque[tuple[Sequence[Given], Iterator[Opened]]] = deque()
    try:
        for start in range(0, len(inputs), batch):
            chunk = inputs[start : start + batch]
            coming.append((chunk, pool.map(lambda given: _open(given, size, met), chunk)))
            if len(coming) > AHEAD:
                first, images = coming.popleft()
                yield first, list(images)
        for chunk, images in coming:
            yield chunk, list(images)
    finally:
        pool.shutdown(cancel_futures=True)


def _open(given: Source, size: int, met: Met | None) -> Opened:
    """Return an image as evaluation sees it, uint8 [size, size, 3], or what is wrong."""
    try:
        if isinstance(given, io.BytesIO):
            return np.asarray(squash(decode(given, size), size))
        if isinstance(given, Picture):
            return np.asarray(squash(pixels(given), size))
        if not given.startswith(SCHEME):
            check_regular(file_of(given))
        with opened(given) as file:
            if met:
                met.look(file)
            return np.asarray(squash(decode(file, size), size))
    except Exception as error:  # whatever a damaged file makes a decoder raise
        return fault_of(_path(given), error)


def _path(given: Source) -> str:
    """Return the path of an image; "" of one in memory."""
    return given if isinstance(given, str) else ""
