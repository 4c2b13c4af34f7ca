"""The images on a plane, those together that look alike to the network. From kept features alone.

PCA to 50 directions, then t-SNE (van der Maaten and Hinton 2008), by scikit-learn.
"""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from tl_cli.data.manifest import SPLITS
from tl_cli.engine.context import RunContext
from tl_cli.engine.head import join
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.head.row_blocks import stacked
from tl_cli.results.data_map import MapPoint

MOST = 1_000  # images: three seconds on one core
LEAST = 10
DIRECTIONS, PERPLEXITY, ROUNDS = 50, 30, 500
ALIKE = 1e-6  # of a deviation; less is rounding


def points(context: RunContext, head: SolvedHead) -> list[MapPoint]:
    """Return where the images lie, as many as are drawn; none where there are too few.

    By what the head sees of them, each depth divided by its spread.
    """
    records = context.records
    seen = stacked([head.features[split] for split in SPLITS])
    doubtful = np.zeros(len(records), bool)
    labels = context.labels("train")
    doubtful[: len(labels)] = doubts(head.head.held_out, labels)
    drawn = np.random.default_rng(context.config.seed).permutation(len(records))[:MOST]
    drawn.sort()
    if len(drawn) < LEAST:
        return []
    joined, _ = join(np.split(seen[drawn], np.cumsum(head.widths)[:-1], axis=1))
    places = plane(joined, context.config.seed)
    return [
        MapPoint(records[i].path, float(x), float(y), bool(doubtful[i]))
        for i, (x, y) in zip(drawn.tolist(), places, strict=True)
    ]


def plane(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return float [n, 2], 0 to 1, for features [n, D]: near is alike, far says little."""
    n = len(features)
    with threadpool_limits(1):  # for so little, threads only wait for each other
        if features.std(axis=0).max() < ALIKE:  # all images are alike
            return np.full((n, 2), 0.5)
        few = min(DIRECTIONS, n - 1, features.shape[1])
        rows = PCA(few, svd_solver="randomized", random_state=seed).fit_transform(features)
        perplexity = min(PERPLEXITY, (n - 1) / 3)
        tsne = TSNE(2, init="pca", random_state=seed, perplexity=perplexity, max_iter=ROUNDS)
        places = tsne.fit_transform(rows / rows.std())
    low, high = places.min(axis=0), places.max(axis=0)
    return np.asarray((places - low) / np.maximum(high - low, 1e-9))


def doubts(held_out: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which labels look wrong, bool [n], by probabilities [n, C] of a head without them.

    Where another class is at least as probable as its own images are on average, and the most so:
    the off-diagonal of the confident joint (Northcutt et al. 2021, arXiv:1911.00068).
    `tl inspect RUN --label-errors` goes into it more deeply.
    """
    classes = held_out.shape[1]
    own = held_out[np.arange(len(labels)), labels]
    least = np.array([own[labels == c].mean() if (labels == c).any() else np.inf
                      for c in range(classes)])  # fmt: skip
    sure = np.where(held_out >= least, held_out, -1.0)
    return np.asarray((sure.max(axis=1) >= 0) & (sure.argmax(axis=1) != labels))
