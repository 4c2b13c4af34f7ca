"""A checkpoint -> a file that other programs run, proven equal before it is put in its place.

To add a format: a row of `FORMATS` (it lies in tl_cli/export_formats.py, so that mistakes are told
early), a module of its name here with `RUNTIME`, `write(network, path)` and `runtime(path)`, and
its programs in recipes/.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np

from tl_cli import engine
from tl_cli.data import presence
from tl_cli.data.manifest import Manifest, Record
from tl_cli.engine import predict
from tl_cli.engine.export import check, recipe
from tl_cli.engine.export.check import Answers
from tl_cli.engine.export.network import Network
from tl_cli.engine.export.unknown import SCORE, THRESHOLD
from tl_cli.engine.networks import classifier
from tl_cli.errors import TLError
from tl_cli.export_formats import FORMATS, Format
from tl_cli.humanize import count, naming
from tl_cli.quiet import quiet
from tl_cli.report import model_card
from tl_cli.results.export import CHECKED_ON, Equality, Export
from tl_cli.results.progress import Note, OnProgress
from tl_cli.store.run_dir import RunDir

__all__ = ["FORMATS", "Original", "export", "original"]

REJECTED = ".rejected"
# what tl and TensorFlow put into a SavedModel's folder
SAVED_MODEL = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"}
ROUNDED = (
    "a file of rounded numbers has no score for unknown images: its threshold is of features that "
    "are not rounded"
)
ROOM = 4  # times the weights: the file, and what it is made from


@dataclass(frozen=True)
class Original:
    """A run's classifier, and what it says of the images that its exports are checked on."""

    network: Network
    trained_in: str  # precision
    checked_on: str  # a key of CHECKED_ON
    records: Sequence[Record]
    images: np.ndarray  # float32 [n, size, size, 3]
    want: Answers  # by the name of the output: probabilities float32 [n, C], scores float64 [n]
    left_out: str | None  # why it has no score for unknown images, where the run has one


def original(
    run: RunDir,
    quantize: str | None = None,
    data: Manifest | None = None,
    unlike: bool | None = None,
) -> Original:
    """Load a run's classifier and ask it about real images, once for all formats.

    `data`: images to check with, instead of the run's own. `unlike`: whether unknown images are to
    be told; None: where they can be. Raises TLError where there are no images left to check with,
    and where unknown images are to be told and cannot be.
    """
    engine.prepare("float32", seed=0)
    built, described = classifier.load(run)
    score = predict.unknown_score(run, built, unlike)
    left_out = ROUNDED if score and quantize else None
    if unlike and left_out:
        raise TLError(left_out, "leave out --unknown, or --quantize")
    network = Network(built, quantize, run, data, None if left_out else score)
    checked_on, records = check.chosen(run, "val", check.MOST, network.size, data)
    images = check.images(records, network.size)
    want = check.batched(partial(_answers, network), images, check.MOST)
    precision = described.get("precision", "float32")
    return Original(network, precision, checked_on, records, images, want, left_out)


def _answers(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the checkpoint says of images, with the score as `tl predict` computes it."""
    said = {network.output: np.asarray(network.built.model.predict_on_batch(images))}
    if network.unlike is None:
        return said
    _, seen = network.built.inference_with_features.predict_on_batch(images)
    return said | {SCORE: network.unlike.scores(np.asarray(seen))}


def export(
    source: Original,
    form: Format,
    target: Path,
    on_progress: OnProgress,
    *,
    benchmark: bool = False,
) -> Export:
    """Write a classifier in another format, run it, and put it at `target` if it is equal.

    If it is not, it is kept as `target`.rejected. Beside it lie the figures, as .json, how to open
    images for it, as .md, and its model card, as .card.md. Raises TLError where there is no room.
    """
    check_replaceable(target, folder=not form.ending)
    network, images = source.network, source.images
    RunDir(target.parent).need(ROOM * 4 * network.built.model.count_params())
    with _hushed():
        module = importlib.import_module(f"{__name__}.{form.name}")
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
        beside = Path(folder) / target.name
        on_progress(Note(f"Writing {form.title} ..."))
        with _hushed(), _full_disk_told(target):
            module.write(network, beside)
        many = count(len(images), CHECKED_ON[source.checked_on])
        on_progress(Note(f"Running it in {module.RUNTIME} on {many} ..."))
        with _hushed():
            runtime = module.runtime(beside)
            scale = check.scale_of(source.want, network)
            equality = check.compare(
                source.want, runtime, images, network.quantize, network.built.thresholds, scale
            )
            encoded = _encoded(module, beside, source)
            timed = check.milliseconds(runtime, images) if benchmark else None
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        placed = _place(Path(folder), target, "" if equality.passed else REJECTED)
    result = Export(
        format=form.name,
        quantize=network.quantize,
        path=str(placed),
        recipe=None,
        card=None,
        usage=None,
        bytes=size,
        runtime=f"{module.RUNTIME} {version(module.RUNTIME)}",
        image_size=network.size,
        classes=network.built.classes,
        thresholds=network.built.thresholds,
        outputs=network.outputs,
        unknown_threshold=THRESHOLD if network.unlike else None,
        unknown_left_out=source.left_out,
        task=network.built.task,
        interval=network.built.interval,
        trained_in=source.trained_in,
        checked_on=source.checked_on,
        equality=equality,
        encoded=encoded,
        milliseconds=timed,
    )
    if equality.passed:
        result = _explained(result, source, form, placed)
    RunDir(placed.parent).write_json(placed.name + recipe.FIGURES, result.to_json())
    return result


def _explained(result: Export, source: Original, form: Format, placed: Path) -> Export:
    """Write the pages beside a file that passed, and return the result with them."""
    network, image = source.network, recipe.example(source.records)
    page = recipe.write(network, form, placed)
    usage = recipe.usage(network, form, placed, image)
    told = replace(result, recipe=str(page), usage=usage)
    return replace(told, card=str(model_card.write(network.run, told, placed)))


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep what converters and runtimes print from the user, unless one of them raises."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def _full_disk_told(target: Path) -> Iterator[None]:
    """Raise an OSError where the disk is full: each converter has an error of its own for it."""
    try:
        yield
    except Exception as error:
        if "no space left" not in str(error).lower():
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error


def _encoded(module: ModuleType, path: Path, source: Original) -> Equality | None:
    """Return how near a format that opens image files itself comes to how we open them."""
    if not hasattr(module, "encoded"):
        return None
    kinds, records = (".jpg", ".jpeg", ".png"), source.records
    at = [
        i
        for i, record in enumerate(records)
        if Path(record.path).suffix.lower() in kinds and presence.state(record) == presence.SAME
    ]
    if not at:
        return None
    files = [Path(records[i].path).read_bytes() for i in at]
    scale = check.scale_of(source.want, source.network)
    wanted = {name: values[at] for name, values in source.want.items()}
    return check.equality(wanted, [module.encoded(path)(files)], scale=scale)


def check_replaceable(place: Path, *, folder: bool) -> None:
    """Raise TLError where a folder would be removed that is more than an export of ours.

    What a SavedModel's folder is made of is known; a link to one is not followed.
    """
    if not place.is_dir():
        return
    strange = [p.name for p in place.iterdir() if p.name not in SAVED_MODEL] if folder else []
    if place.is_symlink() or strange or not folder or not (place / "saved_model.pb").is_file():
        raise TLError(
            f"'{place}' is there and is not {'an exported SavedModel' if folder else 'a file'}"
            + (f": it holds {naming(strange)}" if strange else ""),
            "choose another --output",
        )


def _place(folder: Path, target: Path, ending: str) -> Path:
    """Move what was written to where it is wanted; return where the target itself lies."""
    made = sorted(folder.iterdir())  # a .bin before the .xml that needs it
    places = [target.with_name(written.name + ending) for written in made]
    again = os.path.lexists(target) or ending
    for written, place in zip(made, places, strict=True):
        check_replaceable(place, folder=written.is_dir())
        if os.path.lexists(place) and not again:
            raise TLError(
                f"'{place}' is there, and belongs to another model", "choose another --output"
            )
    for written, place in zip(made, places, strict=True):
        if place.is_dir():
            shutil.rmtree(place)
        written.replace(place)
    return target.with_name(target.name + ending)
