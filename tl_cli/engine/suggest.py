"""Which images of a pool to label next: what a run is in doubt about, or what is typical of all.

Knows nothing of how they are shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tl_cli.data.manifest import NAMED, Record
from tl_cli.engine import embed, predict
from tl_cli.engine.embed import Embedder
from tl_cli.engine.head import join
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.networks.pooling import POOLINGS
from tl_cli.engine.suggest_selection import doubtful, typical
from tl_cli.engine.tasks import TASKS
from tl_cli.results.progress import OnProgress
from tl_cli.results.suggestions import Suggestion
from tl_cli.store.run_dir import RunDir


def of_run(
    run: RunDir, records: Sequence[Record], count: int, on_progress: OnProgress
) -> list[Suggestion]:
    """Return the images whose labels would teach a run most; they pass its network once."""
    built = predict.load_checkpoint(run, NAMED)
    embedder = embed.of_classifier(run, built)
    features = embedder.embed(records, on_progress)
    p = TASKS[built.task].tuning.activate(built.scores(features))
    doubts = _several(built, p) if built.thresholds else _one(built, p)
    margins = np.array([margin for margin, _, _ in doubts])
    selection = doubtful(_even(features, _widths(embedder, built)), margins, count)
    return [
        _suggested(records[i], doubts[i], int(alike))
        for i, alike in zip(selection.chosen.tolist(), selection.alike, strict=True)
    ]


def of_backbone(
    embedder: Embedder, records: Sequence[Record], count: int, on_progress: OnProgress
) -> list[Suggestion]:
    """Return the images that are typical of a pool: what to label when nothing is labelled yet."""
    features = embedder.embed(records, on_progress)
    selection = typical(_even(features, [features.shape[1]]), count)
    return [
        Suggestion(
            records[i].path, f"typical of {alike:,} images" if alike > 1 else "like no other"
        )
        for i, alike in zip(selection.chosen.tolist(), selection.alike, strict=True)
    ]


Doubt = tuple[float, list[tuple[str, float]], str]  # how far it is from being one, guesses, why


def _one(built: Classifier, p: np.ndarray) -> list[Doubt]:
    """Return by image the margin between the two most probable classes, and which they are."""
    best = np.argsort(-p, axis=1, kind="stable")[:, :2]
    found: list[Doubt] = []
    for row, order in zip(p, best.tolist(), strict=True):
        guesses = [(built.classes[c], float(row[c])) for c in order]
        margin = guesses[0][1] - (guesses[1][1] if len(guesses) > 1 else 0.0)
        found.append((margin, guesses, " or ".join(f"{name} {q:.2f}" for name, q in guesses)))
    return found


def _several(built: Classifier, p: np.ndarray) -> list[Doubt]:
    """Return by image how near the label that is most in doubt is to being said, and which.

    Nearness is of log odds: from 0.02 to 0.04 is as far as from one half to two thirds.
    """
    scores = TASKS[built.task].tuning.scores
    apart = np.abs(scores(p) - scores(np.asarray([built.thresholds])))
    found: list[Doubt] = []
    for row, far in zip(p, apart, strict=True):
        c = int(far.argmin())
        name, q, least = built.classes[c], float(row[c]), built.thresholds[c]
        why = f"{name} {q:.2f}, said from {least:.2f} on"
        found.append((float(far[c]), [(name, q)], why))
    return found


def _widths(embedder: Embedder, built: Classifier) -> list[int]:
    blocks, pooling = built.backbone.blocks, POOLINGS[built.pooling]
    return [pooling.width(blocks[tap - 1].output_shape) for tap in built.taps]


def _even(features: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """Return features of unit length, each depth of one spread."""
    joined, _ = join(np.split(features, np.cumsum(widths)[:-1], axis=1))
    return np.asarray(joined / np.maximum(np.linalg.norm(joined, axis=1, keepdims=True), 1e-12))


def _suggested(record: Record, doubt: Doubt, alike: int) -> Suggestion:
    _, guesses, why = doubt
    if alike > 1:
        why += f"; stands for {alike:,} doubtful images"
    return Suggestion(record.path, why, tuple(guesses))
