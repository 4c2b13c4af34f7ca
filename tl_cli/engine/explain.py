"""Where in an image the evidence for a class lies: Grad-CAM. Knows nothing of drawing and of files.

Selvaraju et al. 2017, arXiv:1610.02391, with one change: what counts as evidence is what speaks for
the class more than the image does on average, not more than zero. The score of a class in a solved
head has no natural zero, so that a map cut off there may be lit everywhere or nowhere. Of a number
it is what raises it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from tl_cli.data.manifest import REGRESSION, TASKS, Record
from tl_cli.engine import features, predict
from tl_cli.engine.features.neighbours import Nearest
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.tasks import tuning_of
from tl_cli.errors import TLError, unknown
from tl_cli.plan.blocks import Block
from tl_cli.results.explanations import Explanation
from tl_cli.store.run_dir import RunDir

BATCH = 16
STRETCH = 128.0  # of the scores, so that half precision does not lose their gradients


@dataclass(frozen=True)
class Explainer:
    """A classifier opened at a cut: `model` maps images to [the tensor at the cut, scores]."""

    classifier: Classifier
    cut: int
    model: keras.Model

    @property
    def block(self) -> Block:
        """The block whose output is looked at."""
        return self.classifier.backbone.blocks[self.cut - 1]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return float32 [n, C] for images float32 [n, size, size, 3]; of a number its values."""
        parts = [self.model(part, training=False)[1] for part in _parts(images)]
        scores = np.concatenate([tf.cast(p, tf.float32).numpy() for p in parts])
        return np.asarray(tuning_of(self.classifier).activate(scores), "float32")

    def maps(self, images: np.ndarray, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return how much each place speaks for a class: float32 [n, height, width], 0..1.

        `images`: float32 [n, size, size, 3]; `numbers`: the class of each. The greatest value of a
        map is 1; it is all 0 where no place speaks more for the class than another.
        """
        chosen = np.asarray(numbers)
        found = [self._maps(part, chosen[i * BATCH :]) for i, part in enumerate(_parts(images))]
        return np.concatenate(found)

    def _maps(self, images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        x = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(x)
            seen, scores = self.model(x, training=False)
            own = tf.gather(scores, numbers[: len(images)], axis=1, batch_dims=1)
            total = STRETCH * tf.reduce_sum(own)
        slope = tf.cast(tape.gradient(total, seen), tf.float32)
        weight = tf.reduce_mean(slope, axis=(1, 2), keepdims=True)
        heat = tf.reduce_sum(weight * tf.cast(seen, tf.float32), axis=-1).numpy()
        heat = np.maximum(heat - heat.mean(axis=(1, 2), keepdims=True), 0)
        peak = heat.max(axis=(1, 2), keepdims=True)
        return np.divide(heat, peak, out=np.zeros_like(heat), where=peak > 0)


def _parts(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]


def load(run: RunDir, at: str | None = None) -> Explainer:
    """Load a checkpoint and open it at a cut. Raises TLError as `classifier.load` and `opened`."""
    return opened(predict.load_checkpoint(run, TASKS), at)


def opened(built: Classifier, at: str | None = None) -> Explainer:
    """Open a classifier at a cut.

    `at`: the name or number of the block whose output is looked at; None: the last one that has
    more than one place. Raises TLError where there is no such block, and where its output has none.
    """
    blocks = built.backbone.blocks
    shown = [cut for cut, block in enumerate(blocks, 1) if _is_map(block)]
    cut = _named(blocks, at) if at else max(shown, default=len(blocks))
    if cut not in shown:
        raise TLError(
            f"the output of {blocks[cut - 1].name} has no places that a map could show",
            f"choose an earlier block with --at; see: tl blocks {built.backbone.card.name}"
            if shown
            else "no block of this network has any: a run on one network can be explained",
        )
    return Explainer(built, cut, built.with_activations(cut))


def explained(
    explainer: Explainer,
    paths: Sequence[str],
    *,
    name: str | None = None,
    nearest: Nearest | None = None,
    neighbours: int = 0,
) -> Iterator[Explanation]:
    """Return an iterator over explanations, one an image in order, or what is wrong with it.

    Of the class `name`, else of the most probable one. Holds a few batches in memory.
    Raises TLError, at once, for a class that the network does not know.
    """
    classes = explainer.classifier.classes
    if name is not None and name not in classes:
        raise unknown("class", name, classes)
    chosen = None if name is None else classes.index(name)
    size = explainer.classifier.backbone.image_size
    return (
        explanation
        for chunk, images in predict.opened_images(paths, size, BATCH)
        for explanation in _of_batch(explainer, chunk, images, chosen, nearest, neighbours)
    )


def _of_batch(
    explainer: Explainer,
    paths: Sequence[str],
    images: Sequence[np.ndarray | str],
    chosen: int | None,
    nearest: Nearest | None,
    neighbours: int,
) -> Iterator[Explanation]:
    good = [image for image in images if not isinstance(image, str)]
    told = iter(_told(explainer, np.stack(good), chosen, nearest, neighbours) if good else ())
    for path, image in zip(paths, images, strict=True):
        if isinstance(image, str):
            yield Explanation(path, error=image)
        else:
            yield replace(next(told), path=path)


def _told(
    explainer: Explainer, images: np.ndarray, chosen: int | None, nearest: Nearest | None, most: int
) -> list[Explanation]:
    x = images.astype("float32")
    probabilities, classes = explainer.probabilities(x), explainer.classifier.classes
    numbers = probabilities.argmax(1) if chosen is None else np.full(len(x), chosen)
    alike = nearest.of(x, most) if nearest else [()] * len(x)
    maps = explainer.maps(x, numbers)
    if explainer.classifier.task == REGRESSION:
        values = map(float, probabilities[:, 0])
        return [
            Explanation("", classes[0], heat=heat, neighbours=near, value=value)
            for value, heat, near in zip(values, maps, alike, strict=True)
        ]
    return [
        Explanation("", classes[number], float(p[number]), heat, near)
        for number, p, heat, near in zip(numbers, probabilities, maps, alike, strict=True)
    ]


def of_answers(built: Classifier, answers: Mapping[Record, str]) -> dict[str, np.ndarray]:
    """Return by path where the evidence for an answer lies: float32 [height, width], 0..1.

    `answers`: what each image was taken for. Images that can no longer be read are left out.
    Raises TLError for a network that no map can be made of.
    """
    explainer = opened(built)
    images: dict[Record, np.ndarray] = {}
    for record in answers:
        with contextlib.suppress(TLError):
            [images[record]] = features.images([record], built.backbone.image_size)
    if not images:
        return {}
    numbers = [built.classes.index(answers[record]) for record in images]
    maps = explainer.maps(np.stack(list(images.values())), numbers)
    return {record.path: heat for record, heat in zip(images, maps, strict=True)}


def _is_map(block: Block) -> bool:
    shape = block.output_shape
    return len(shape) == 3 and min(shape[:2]) > 1


def _named(blocks: Sequence[Block], at: str) -> int:
    names = [block.name for block in blocks]
    if at in names:
        return names.index(at) + 1
    if at.isdecimal() and 1 <= int(at) <= len(blocks):
        return int(at)
    raise unknown("block", at, names)
