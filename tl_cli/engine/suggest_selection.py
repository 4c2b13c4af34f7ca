"""Which images to label next, chosen by their features: typical ones, or doubtful and different.

Numpy and scikit-learn only; knows nothing of networks and files. Measured by
scripts/bench_suggest.py: docs/suggest.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from tl_cli.engine.head.ridge import one_thread

Array = NDArray[Any]

MOST = 20_000  # images that are clustered; of more, so many are drawn
ROUNDS = 20  # of k-means
NEAR = 20  # images of a cluster that tell how densely it lies around one
LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, eq=False)
class Selection:
    """Chosen rows, the first to label first, and how many images each stands for."""

    chosen: Array  # int64 [k]
    alike: Array  # int64 [k], itself counted in


def typical(rows: Array, count: int, seed: int = 0) -> Selection:
    """Return the image in the densest place of each of `count` clusters, the largest one first.

    `rows`: features of unit length, float [n, D]. For a first round, when nothing is labelled:
    Hacohen et al. 2022 (arXiv:2202.02794).
    """
    drawn = np.random.default_rng(seed).permutation(len(rows))[:MOST]
    x = rows[drawn]
    found = _clusters(x, np.ones(len(x)), count, seed)
    chosen = np.array([members[_density(x[members]).argmax()] for members, _ in found])
    sizes = np.array([len(members) for members, _ in found])
    order = np.argsort(-sizes, kind="stable")
    return Selection(drawn[chosen[order]], sizes[order])


def doubtful(rows: Array, margins: Array, count: int, seed: int = 0) -> Selection:
    """Return images of small margin that differ from each other, the most doubtful first.

    `rows`: features of unit length, float [n, D]; `margins`: best probability minus the second,
    float [n]. The images, weighted by their doubt, fall into `count` clusters, and of each the one
    nearest to the centre is taken (Zhdanov 2019, arXiv:1901.05954).
    """
    some = np.argsort(margins, kind="stable")[:MOST]
    x, doubt = rows[some], np.maximum(1 - margins[some], LEAST_WEIGHT)
    found = _clusters(x, doubt, count, seed)
    nearest = [members[((x[members] - at) ** 2).sum(1).argmin()] for members, at in found]
    chosen, sizes = some[nearest], np.array([len(members) for members, _ in found])
    order = np.argsort(margins[chosen], kind="stable")
    return Selection(chosen[order], sizes[order])


def _clusters(rows: Array, weights: Array, count: int, seed: int) -> list[tuple[Array, Array]]:
    """Return the members of each cluster, int64 [m], and its centre; none is empty."""
    most = len(np.unique(rows, axis=0))  # k-means warns where it finds fewer than it was asked for
    with one_thread():
        found = KMeans(min(count, most), n_init=1, max_iter=ROUNDS, random_state=seed)
        found.fit(rows, sample_weight=weights)
    members = [np.flatnonzero(found.labels_ == i) for i in range(len(found.cluster_centers_))]
    pairs = zip(members, found.cluster_centers_, strict=True)
    return [(own, centre) for own, centre in pairs if len(own)]


def _density(rows: Array) -> Array:
    """Return the mean cosine of each row with the `NEAR` rows that are most like it."""
    likeness = np.sort(rows @ rows.T, axis=1)
    return np.asarray(likeness[:, -NEAR:].mean(1))
