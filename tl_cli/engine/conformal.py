"""Sets of classes, or intervals of a number, that hold the right one as often as is asked for.

Split conformal prediction.

The least ambiguous sets of Sadinle, Lei and Wasserman (2019, arXiv:1609.00451): all classes whose
probability is above a threshold, which is read off images that the head was not fitted to. If other
images are drawn as those were, the right class is in the set of at least the share asked for,
whatever the network is worth: a worse one has larger sets. Of a number, the interval reaches as far
as so many held-out values were off (Lei et al. 2018, arXiv:1604.04173). Knows nothing of networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tl_cli.data import quantities
from tl_cli.data.manifest import Record
from tl_cli.engine import fitted_images
from tl_cli.engine.metrics.figures import encode
from tl_cli.errors import TLError
from tl_cli.humanize import count
from tl_cli.results.regression import ConformalInterval
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

USUAL = 0.9  # coverage of a number's interval, where none is asked for
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
    n, place = len(right), _place(len(right), coverage)
    if place > n:
        raise _too_few(n, coverage)
    return ConformalSets(coverage, float(np.sort(right)[::-1][place - 1]), n)


def interval(
    values: NDArray[np.floating], true: ArrayLike, coverage: float = USUAL
) -> ConformalInterval | None:
    """Return how far held-out values float [n, 1] are off the true ones, for that share.

    None where so few were held out that nothing can be promised.
    """
    off = np.sort(np.abs(values.ravel().astype(np.float64) - np.ravel(true)))
    place = _place(len(off), coverage)
    if place > len(off):
        return None
    return ConformalInterval(coverage, float(off[place - 1]), len(off))


def _place(n: int, coverage: float) -> int:
    """Return how many of n + 1 images are to be covered."""
    return math.ceil((n + 1) * coverage - 1e-9)


def _too_few(n: int, coverage: float) -> TLError:
    least = math.ceil(coverage / (1 - coverage) - 1e-9)
    return TLError(
        f"--coverage {coverage:g} needs {count(least, 'held-out image')}, and the run has {n:,}",
        f"at most --coverage {math.floor(100 * n / (n + 1)) / 100:g} can be promised with "
        "these; more images, or a larger --val share, promise more"
        if n
        else "train again with validation images",
    )


def of_run(run: RunDir, classes: Sequence[str], coverage: float) -> ConformalSets:
    """Return the sets by what a run kept of its validation images. Raises TLError for too few."""
    records, held_out = _held_out(run)
    labels = encode([record.label for record in records], classes)
    return fit(held_out, labels, coverage)


def interval_of_run(run: RunDir, coverage: float) -> ConformalInterval:
    """Return the interval by what a run kept of its validation images. Raises TLError."""
    records, held_out = _held_out(run)
    found = interval(held_out, [quantities.value(record) for record in records], coverage)
    if found is None:
        raise _too_few(len(records), coverage)
    return found


def _held_out(run: RunDir) -> tuple[Sequence[Record], NDArray[np.floating]]:
    """Return a run's validation images, and what was said of them [n, C]."""
    fitted = fitted_images.load(run)
    if not fitted.held_out:
        raise TLError(
            f"{run.path} keeps no answers to images that it was not fitted to, and --coverage goes "
            "by these",
            f"it needs {run_dir.HELD_OUT} and {run_dir.MANIFEST} beside the checkpoint",
        )
    rows = [fitted.held_out[record.digest] for record in fitted.validation]
    return fitted.validation, np.stack(rows)
