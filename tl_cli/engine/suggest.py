"""Which images of a pool to label next: what a run is in doubt about, or what is typical of all.

Knows nothing of how they are shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from tl_cli.data.manifest import Record
from tl_cli.engine import embed, predict
from tl_cli.engine.embed import Embedder
from tl_cli.engine.head import join
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.networks.pooling import POOLINGS
from tl_cli.engine.suggest_selection import doubtful, typical
from tl_cli.results.progress import OnProgress
from tl_cli.results.suggestions import Suggestion
from tl_cli.store.run_dir import RunDir


def of_run(
    run: RunDir, records: Sequence[Record], count: int, on_progress: OnProgress
) -> list[Suggestion]:
    """Return the images whose labels would teach a run most; they pass its network once."""
    built = predict.load_checkpoint(run)
    embedder = embed.of_classifier(run, built)
    features = embedder.embed(records, on_progress)
    p = _probabilities(built, features)
    ordered = np.sort(p, axis=1)
    margins = ordered[:, -1] - (ordered[:, -2] if p.shape[1] > 1 else 0)
    selection = doubtful(_even(features, _widths(embedder, built)), margins, count)
    best = np.argsort(-p, axis=1, kind="stable")[:, :2]
    return [
        _doubt(records[i], [(built.classes[c], float(p[i, c])) for c in best[i]], int(alike))
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


def _probabilities(built: Classifier, features: np.ndarray) -> np.ndarray:
    return np.asarray(softmax(built.scores(features), axis=1))


def _widths(embedder: Embedder, built: Classifier) -> list[int]:
    blocks, pooling = built.backbone.blocks, POOLINGS[built.pooling]
    return [pooling.width(blocks[tap - 1].output_shape) for tap in built.taps]


def _even(features: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """Return features of unit length, each depth of one spread."""
    joined, _ = join(np.split(features, np.cumsum(widths)[:-1], axis=1))
    return np.asarray(joined / np.maximum(np.linalg.norm(joined, axis=1, keepdims=True), 1e-12))


def _doubt(record: Record, guesses: list[tuple[str, float]], alike: int) -> Suggestion:
    (first, p), *others = guesses
    why = f"{first} {p:.2f}"
    if others:
        [(second, q)] = others
        why = f"{first} {p:.2f} or {second} {q:.2f}"
    if alike > 1:
        why += f"; stands for {alike:,} doubtful images"
    return Suggestion(record.path, why, tuple(guesses))
