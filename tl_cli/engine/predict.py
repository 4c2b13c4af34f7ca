"""A checkpoint and images -> probabilities, by the same way of opening images as in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tl_cli import engine
from tl_cli.engine import classifier, pipeline
from tl_cli.engine import evaluate as evaluation
from tl_cli.engine.classifier import Classifier
from tl_cli.errors import TLError
from tl_cli.manifest import Manifest, Record
from tl_cli.results import Evaluation, OnProgress, Progress
from tl_cli.rundir import RunDir

BATCH = 32


def evaluate(run: RunDir, manifest: Manifest, split: str, on_progress: OnProgress) -> Evaluation:
    """Return a checkpoint's figures on one split of a manifest ("all" for every image).

    Classes are matched by name; the manifest may lack some of the checkpoint's. Raises TLError for
    a class that the checkpoint does not know, and where the split has no images.
    """
    records = manifest.of(split)
    described = classifier.describe(run)
    labels = evaluation.encode([r.label for r in records], described["classes"])
    if not records:
        present = [name for name in ("train", "val", "test") if manifest.of(name)]
        raise TLError(
            f"there are no {split} images in {manifest.source}",
            f"choose --split {' or '.join([*present, 'all'])}",
        )
    engine.prepare(described.get("precision", "float32"), seed=0)
    built, _ = classifier.load(run)
    found = probabilities(built, records, on_progress)
    return evaluation.evaluate(found, labels, built.classes, split=split)


def probabilities(
    built: Classifier, records: Sequence[Record], on_progress: OnProgress
) -> np.ndarray:
    """Return float32 [n, C] for the records in order; each image is opened once."""
    store = pipeline.store(records, built.backbone.image_size, memory=0, disk=0)
    parts, done = [], 0
    for images in pipeline.batches(store, batch_size=BATCH, training=False):
        x = np.asarray(images[0] if isinstance(images, tuple) else images)
        padded = np.concatenate([x, np.repeat(x[:1], BATCH - len(x), axis=0)])
        parts.append(np.asarray(built.model.predict_on_batch(padded))[: len(x)])
        done += len(x)
        on_progress(Progress("evaluate", done, len(records)))
    return np.concatenate(parts)
