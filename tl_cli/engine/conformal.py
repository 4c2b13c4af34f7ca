"""Sets of classes that hold the right one as often as is asked for: split conformal prediction.

The least ambiguous sets of Sadinle, Lei and Wasserman (2019, arXiv:1609.00451): all classes whose
probability is above a threshold, which is read off images that the head was not fitted to. If other
images are drawn as those were, the right class is in the set of at least the share asked for,
whatever the network is worth: a worse one has larger sets. Knows nothing of networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tl_cli.engine import fitted_images
from tl_cli.engine.metrics.figures import encode
from tl_cli.errors import TLError
from tl_cli.humanize import count
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

ROUNDING = 1e-6  # of a probability; with it, an image on the threshold is within


@dataclass(frozen=True)
class ConformalSets:
    """Which probabilities are enough to be in a set, and where that is from."""

    coverage: float  # asked for
    least: float  # probability
    n: int  # held-out images that it was read off

    def of(self, probabilities: NDArray[np.floating]) -> list[list[int]]:
        """Return the class numbers of each image's set, the most probable first.

        `probabilities`: float [n, C]. The best guess is always within, so none is empty.
        """
        order = np.argsort(-probabilities, axis=1, kind="stable")
        sizes = np.maximum((probabilities >= self.least - ROUNDING).sum(axis=1), 1)
        return [row[:size].tolist() for row, size in zip(order, sizes, strict=True)]


def fit(probabilities: NDArray[np.floating], labels: ArrayLike, coverage: float) -> ConformalSets:
    """Read the threshold off held-out probabilities float [n, C] and labels int [n].

    Of the n + 1 images with a new one, ceil((n + 1) * coverage) are to be covered. Raises TLError
    where so few were held out that no threshold promises that.
    """
    right = probabilities[np.arange(len(probabilities)), np.asarray(labels)]
    n, place = len(right), math.ceil((len(right) + 1) * coverage - 1e-9)
    if place > n:
        least = math.ceil(coverage / (1 - coverage) - 1e-9)
        raise TLError(
            f"--coverage {coverage:g} needs {count(least, 'held-out image')}, and the run has "
            f"{n:,}",
            f"at most --coverage {math.floor(100 * n / (n + 1)) / 100:g} can be promised with "
            "these; more images, or a larger --val share, promise more"
            if n
            else "train again with validation images",
        )
    return ConformalSets(coverage, float(np.sort(right)[::-1][place - 1]), n)


def of_run(run: RunDir, classes: Sequence[str], coverage: float) -> ConformalSets:
    """Return the sets by what a run kept of its validation images. Raises TLError for too few."""
    fitted = fitted_images.load(run)
    if not fitted.held_out:
        raise TLError(
            f"{run.path} keeps no answers to images that it was not fitted to, and --coverage goes "
            "by these",
            f"it needs {run_dir.HELD_OUT} and {run_dir.MANIFEST} beside the checkpoint",
        )
    labels = encode([record.label for record in fitted.validation], classes)
    rows = [fitted.held_out[record.digest] for record in fitted.validation]
    return fit(np.stack(rows), labels, coverage)
