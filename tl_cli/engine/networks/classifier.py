"""A backbone and its head: from raw RGB 0..255 to probabilities; what is trained; save and load.

Knows nothing of data sets and plans beyond the cut it is told.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tl_cli import __version__, catalog
from tl_cli.data import decode
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION
from tl_cli.engine.networks import graph, loading
from tl_cli.engine.networks.kernel_layers import kernel_layers
from tl_cli.engine.networks.loading import Backbone
from tl_cli.engine.networks.pooling import POOLINGS
from tl_cli.engine.networks.weights_file import load_weights
from tl_cli.errors import TLError, unknown
from tl_cli.humanize import count
from tl_cli.results.regression import ConformalInterval
from tl_cli.store import checkpoint, run_dir
from tl_cli.store.checkpoint import FORMAT, ONE_LABEL
from tl_cli.store.run_dir import RunDir

HEAD = "classifier"
UNUSED = "mask_token"  # of DINO: it stands in for patches in pretraining alone, and learns nothing
PREDICTED = 1024  # rows of features a batch
BYTES = 4  # a weight of the head takes in a file, which tl does not compress


@dataclass(frozen=True)
class Classifier:
    """`model`: RGB float32 [batch, size, size, 3] in 0..255 -> probabilities float32 [batch, C].

    Where numbers are predicted, the one class is the quantity, and the output its value [batch, 1].

    `taps` are the cuts whose pooled outputs, joined, are what the head sees; the last one is the
    end of the backbone. All its parts share their layers, so training one trains the other.
    """

    backbone: Backbone
    classes: tuple[str, ...]
    taps: tuple[int, ...]
    head: keras.layers.Dense
    model: keras.Model
    pooling: str = "avg"  # a row of POOLINGS
    batchnorm_trains: bool = False  # from scratch alone: else BatchNorm is in inference mode
    # by class, from which probability on it is said; none where an image has one label
    thresholds: tuple[float, ...] = ()
    kernel: keras.Model | None = None  # between what is joined and the head
    task: str = CLASSIFICATION  # what the labels are
    scale: tuple[float, float] = (0.0, 1.0)  # of a value: its score times the second, and the first
    interval: ConformalInterval | None = None  # how far a value may be off, where that is known

    @property
    def width(self) -> int:
        """How many columns what is joined at the taps has."""
        pooling, blocks = POOLINGS[self.pooling], self.backbone.blocks
        return sum(pooling.width(blocks[tap - 1].output_shape) for tap in self.taps)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return the scores before the activation, float32 [n, C], for what is joined, [n, D]."""
        seen = features.astype("float32")
        if self.kernel is not None:
            seen = self.kernel.predict(seen, batch_size=PREDICTED, verbose=0)
        weights, bias = (np.asarray(w) for w in self.head.get_weights())
        scores: np.ndarray = seen @ weights + bias
        return scores

    def set_head(self, weights: np.ndarray, bias: np.ndarray) -> None:
        """Put a solved head in place: weights [D, C], bias [C], before the activation.

        Behind a kernel of M centres the weights are [M, C].
        """
        self.head.set_weights([weights, bias])

    def suffix_model(
        self, cut: int, row_taps: Sequence[int] = (), inner: Sequence[int] = ()
    ) -> keras.Model:
        """Return the part after the first `cut` blocks, up to the scores before softmax.

        For cut 0 its input is the image. Otherwise it is a row of features: the tensor at the cut,
        flat, then the pooled outputs at `row_taps`, of which the head takes those that it looks at.
        With `inner` cuts, their tensors are further outputs.
        """
        fold = not self.batchnorm_trains
        inputs, pooled, tensors = self._after(cut, row_taps, self.taps, inner, fold=fold)
        outputs = [self._answer(_joined(pooled)), *tensors]
        return keras.Model(inputs, outputs if inner else outputs[0], name=f"scores_after_{cut}")

    def pooled_model(self, cut: int, row_taps: Sequence[int], taps: Sequence[int]) -> keras.Model:
        """Return the same part, from its input to the joined pooled outputs at any `taps`."""
        inputs, pooled, _ = self._after(cut, row_taps, taps, (), fold=True)
        return keras.Model(inputs, _joined(pooled), name=f"pooled_after_{cut}")

    def _after(
        self,
        cut: int,
        row_taps: Sequence[int],
        taps: Sequence[int],
        inner: Sequence[int],
        *,
        fold: bool,
    ) -> tuple[keras.KerasTensor, list[keras.KerasTensor], list[keras.KerasTensor]]:
        """Return the input, what is pooled at the taps in order, and the tensors at `inner`."""
        backbone, pooling = self.backbone, POOLINGS[self.pooling]
        if cut == 0:
            inputs, pooled = backbone.model.inputs[0], []
            tensor, after = inputs, list(taps)
        else:
            shape = backbone.blocks[cut - 1].output_shape
            size = math.prod(shape)
            widths = {tap: pooling.width(backbone.blocks[tap - 1].output_shape) for tap in row_taps}
            inputs = keras.Input((size + sum(widths.values()),), name="row")
            starts = dict(
                zip(widths, itertools.accumulate(widths.values(), initial=size), strict=False)
            )
            pooled = [
                inputs[:, starts[tap] : starts[tap] + widths[tap]] for tap in widths if tap in taps
            ]
            tensor = keras.layers.Reshape(shape)(inputs[:, :size])
            after = [tap for tap in taps if tap > cut]
        cuts = [*after, *inner]
        if not cuts:
            return inputs, pooled, []
        outputs = graph.feature_extractor(backbone.model, cuts, start=cut, fold=fold)(tensor)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        pooled += map(pooling.apply, outputs[: len(after)])
        return inputs, pooled, outputs[len(after) :]

    @cached_property
    def inference_model(self) -> keras.Model:
        """`model` with BatchNorm folded away, for many images: equal but for rounding."""
        image, (probabilities, _) = (
            self.inference_with_features.inputs[0],
            (self.inference_with_features.outputs),
        )
        return keras.Model(image, probabilities)

    @cached_property
    def with_features(self) -> keras.Model:
        """`model` with what the head sees, float32 [batch, D], as a second output."""
        return self._with_features(fold=False)

    @cached_property
    def inference_with_features(self) -> keras.Model:
        """`inference_model` with what the head sees, float32 [batch, D], as a second output."""
        return self._with_features(fold=True)

    def _with_features(self, *, fold: bool) -> keras.Model:
        tapped = graph.feature_extractor(self.backbone.model, self.taps, fold=fold)
        seen = _joined([POOLINGS[self.pooling].apply(tensor) for tensor in tapped.outputs])
        probabilities = _activation(self._answer(seen), self.task, self.scale)
        return keras.Model(tapped.inputs[0], [probabilities, seen])

    def with_activations(self, cut: int) -> keras.Model:
        """Return the network from the image to [the tensor at a cut, the scores before softmax]."""
        cuts = sorted({*self.taps, cut})
        tapped = graph.feature_extractor(self.backbone.model, cuts)
        at = dict(zip(cuts, tapped.outputs, strict=True))
        scores = self._answer(_pooled(self.pooling, [at[tap] for tap in self.taps]))
        return keras.Model(tapped.inputs[0], [at[cut], scores], name=f"with_activations_{cut}")

    def _answer(self, joined: keras.KerasTensor) -> keras.KerasTensor:
        return _answer(self.head, self.kernel, joined)

    def freeze_up_to(self, cut: int) -> tuple[keras.layers.Layer, ...]:
        """Freeze the first `cut` blocks by leaf layer, and every BatchNorm that does not train.

        Returns what trains. Flags go on leaf layers because an outer one does not hold for
        children set later; a flag changed after `compile` has no effect. A layer with layers inside
        may have weights of its own (a transformer's table of positions): it is frozen whole.
        """
        frozen = {path for block in self.backbone.blocks[:cut] for path in block.layers}
        self.backbone.model.trainable = True
        for node in itertools.chain(*graph.calls(self.backbone.model)[:cut]):
            if isinstance(node.operation, keras.Layer):
                node.operation.trainable = False
        trained = []
        for layer in self.backbone.layers:
            norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = layer.path not in frozen and (self.batchnorm_trains or not norm)
            if layer.trainable:
                trained.append(layer)
        for layer in self.backbone.model.layers:
            if getattr(layer, UNUSED, None) is not None:
                getattr(layer, UNUSED).trainable = False
        return (*trained, self.head)

    def save(self, run: RunDir, **facts: Any) -> None:
        """Write the checkpoint (JSON and weights) and the exported plain Keras model beside it.

        All are written whole before the first takes its place, so that what was saved before is
        replaced within a moment.
        """
        image = self.model.inputs[0]
        plain = keras.Model(image, self.model(image, training=False))
        with (
            run.replacing(run_dir.CHECKPOINT) as described,
            run.replacing(run_dir.WEIGHTS) as weights,
            run.replacing(run_dir.EXPORTED) as exported,
        ):
            plain.save(exported)
            self.model.save_weights(weights)
            text = json.dumps(self._described(facts), indent=2, ensure_ascii=False)
            described.write_text(text + "\n", encoding="utf-8")

    def _described(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "format": ONE_LABEL if self.task == CLASSIFICATION else FORMAT,
            "tl": __version__,
            "backbone": self.backbone.card.name,
            "image_size": self.backbone.image_size,
            "taps": list(self.taps),
            "pooling": self.pooling,
            "classes": list(self.classes),
            **decode.settings(),
            **({"centres": self.head.kernel.shape[0]} if self.kernel else {}),
            **({"architecture": own} if (own := self.backbone.architecture) else {}),
            **({"task": self.task} if self.task != CLASSIFICATION else {}),
            **({"thresholds": self.thresholds} if self.thresholds else {}),
            **({"scale": list(self.scale)} if self.task == REGRESSION else {}),
            **({"interval": self.interval.to_json()} if self.interval else {}),
            **facts,
        }


def build(
    backbone: Backbone,
    classes: Sequence[str],
    taps: Sequence[int],
    pooling: str = "avg",
    *,
    batchnorm_trains: bool = False,
    task: str = "",
    thresholds: Sequence[float] = (),
    scale: tuple[float, float] = (0.0, 1.0),
    centres: int = 0,
) -> Classifier:
    """Attach a head to the pooled outputs at the taps. Its weights are zero until they are set.

    `task`: what the labels are. `thresholds`: by class, where an image may have several labels:
    then it ends in sigmoids; where labels are numbers, in the line itself, put back to their
    `scale`: what is added, and before that multiplied by.
    `centres`: of a kernel before the head, none where it is 0.
    """
    tapped = graph.feature_extractor(backbone.model, list(taps))
    # Weights stay float32 and so does the softmax, whatever the precision of the rest
    head = keras.layers.Dense(len(classes), kernel_initializer="zeros", dtype="float32", name=HEAD)
    joined = _pooled(pooling, tapped.outputs)
    kernel = kernel_layers(joined.shape[-1], centres) if centres else None
    task = task or (MULTILABEL if thresholds else CLASSIFICATION)
    probabilities = _activation(_answer(head, kernel, joined), task, scale)
    model = keras.Model(tapped.inputs[0], probabilities, name=f"tl_{backbone.model.name}")
    return Classifier(
        backbone,
        tuple(classes),
        tuple(taps),
        head,
        model,
        pooling,
        batchnorm_trains,
        tuple(thresholds),
        kernel,
        task,
        scale,
    )


def _answer(
    head: keras.layers.Dense, kernel: keras.Model | None, joined: keras.KerasTensor
) -> keras.KerasTensor:
    """Return what the head makes of what is joined, through the kernel where there is one."""
    return head(kernel(joined) if kernel is not None else joined)


def _pooled(pooling: str, tapped: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    return _joined([POOLINGS[pooling].apply(tensor) for tensor in tapped])


def _activation(
    scores: keras.KerasTensor, task: str, scale: tuple[float, float]
) -> keras.KerasTensor:
    """Return probabilities, of all classes together or of each one by itself; or a value."""
    if task == REGRESSION:
        mean, deviation = scale
        return keras.layers.Rescaling(deviation, mean, dtype="float32", name="value")(scores)
    if task == MULTILABEL:
        sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name="probabilities")
        return sigmoid(scores)
    return keras.layers.Softmax(dtype="float32", name="probabilities")(scores)


def _joined(parts: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    return keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def describe(run: RunDir) -> dict[str, Any]:
    """Return a checkpoint's own description. Raises TLError where it is damaged or too new."""
    return checkpoint.describe(run / run_dir.CHECKPOINT)


def load(run: RunDir) -> tuple[Classifier, Mapping[str, Any]]:
    """Rebuild the classifier from its description and load its weights; executes nothing stored.

    Raises TLError where a part is missing, truncated or of another class set.
    """
    described = describe(run)
    decode.use(described)
    card = catalog.get(described["backbone"])
    size = described["image_size"]
    if "architecture" in described:
        backbone = loading.rebuilt(card, size, described["architecture"])
    else:
        backbone = loading.load(card, size, weights=None)
    taps, pooling = described["taps"], described.get("pooling", "avg")
    centres = described.get("centres", 0)
    _check_head(run, backbone, taps, pooling, len(described["classes"]), centres)
    thresholds = described.get("thresholds", ())
    classifier = build(
        backbone,
        described["classes"],
        taps,
        pooling,
        task=described.get("task", CLASSIFICATION),
        thresholds=thresholds,
        scale=tuple(described.get("scale", (0.0, 1.0))),
        centres=centres,
    )
    if interval := described.get("interval"):
        classifier = replace(classifier, interval=ConformalInterval(**interval))
    load_weights(classifier.model, Path(run / run_dir.WEIGHTS))
    return classifier, described


def _check_head(
    run: RunDir,
    backbone: Backbone,
    taps: Sequence[int],
    pooling: str,
    classes: int,
    centres: int,
) -> None:
    """Raise TLError where the head that is described is none, before room is made for it."""
    if pooling not in POOLINGS:
        raise unknown("pooling", pooling, POOLINGS)
    if taps[-1] != len(backbone.blocks):
        raise TLError(
            f"the checkpoint {run / run_dir.CHECKPOINT} is damaged: {backbone.card.name} has "
            f"{len(backbone.blocks)} blocks, and its head looks at block {taps[-1]}",
            checkpoint.AGAIN,
        )
    width = sum(POOLINGS[pooling].width(backbone.blocks[tap - 1].output_shape) for tap in taps)
    weights = (width + classes) * centres if centres else width * classes
    if BYTES * weights > (run / run_dir.WEIGHTS).stat().st_size:
        raise TLError(
            f"the weights file {run / run_dir.WEIGHTS} does not fit this network, or is damaged: "
            f"it is smaller than a head for {count(classes, 'class')}",
            checkpoint.AGAIN,
        )
