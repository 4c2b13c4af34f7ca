"""What changing a run's images came to: what was taken in and out, and how the figures moved. Pure.

Both heads are asked about the same images, which neither was fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tl_cli.results.paired import Paired, PairedMeans, paired, paired_means


@dataclass(frozen=True)
class Erased:
    """How much the cache has let go of."""

    cache: str  # its folder; "" where there is none
    features: int = 0  # rows of features, in all tables
    pixels: int = 0  # rows of decoded images
    looks: int = 0  # what the scan remembered of files


Pair = Paired | PairedMeans  # of the errors of numbers, of F1 of the labels of an image


@dataclass(frozen=True)
class Recognised:
    """The share of a class's held-out images that are recognised; `before` None: it was none yet.

    Of several labels: of the images that have one, the share that it is said of.
    """

    name: str
    n: int
    before: float | None
    after: float


@dataclass(frozen=True)
class UpdateResult:
    """What `tl train RUN --add` and `--remove` have to tell beside a run's figures."""

    of: str  # the run that was changed, and is as it was
    added: Mapping[str, int]  # images by class; one may have several labels
    removed: Mapping[str, int]
    added_images: int
    removed_images: int
    relabelled: int
    new_classes: tuple[str, ...]
    gone_classes: tuple[str, ...]
    passed: int  # images that passed the network
    tuned: bool  # whether that network is a tuned one, which was not tuned again
    split: str  # what is compared: test, or val
    # now and before, on the held-out images that the run had; None for none
    same: Pair | None
    more: Pair | None  # the same on added held-out images of classes that it knew
    by_class: tuple[Recognised, ...]
    erased: Erased | None = None  # None where nothing was taken out
    holding: tuple[str, ...] = ()  # runs that still hold what was taken out
    alike: tuple[str, ...] = ()  # images that stay and look nearly the same as one that went

    @property
    def new(self) -> tuple[Recognised, ...]:
        """The new classes of which there are held-out images."""
        return tuple(row for row in self.by_class if row.before is None)

    @property
    def lost(self) -> tuple[Recognised, ...]:
        """Classes that are recognised less than before, the greatest loss first."""
        fell = [row for row in self.by_class if row.before is not None and row.after < row.before]
        return tuple(sorted(fell, key=lambda row: row.after - (row.before or 0)))

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        pairs = {"same": self.same, "more": self.more}
        return asdict(self) | {
            "added": dict(self.added),
            "removed": dict(self.removed),
            **{key: _pair(value) for key, value in pairs.items()},
        }


def _pair(pair: Pair | None) -> dict[str, Any] | None:
    """Return a comparison by what its sides are here."""
    if pair is None:
        return None
    after, before = (
        (pair.first_mean, pair.second_mean)
        if isinstance(pair, PairedMeans)
        else (pair.first_accuracy, pair.second_accuracy)
    )
    return {
        "n": pair.n,
        "before": before,
        "after": after,
        "difference": pair.difference,
        "interval": list(pair.interval),
        "p_value": pair.p_value,
    }


def means_compared(
    now: Sequence[float], before: Sequence[float], *, less_is_better: bool
) -> PairedMeans | None:
    """Compare a figure of each image, float [n] each; None for no images."""
    return paired_means(now, before, less_is_better=less_is_better) if len(now) else None


def compared(now: Sequence[bool], before: Sequence[bool], chosen: Sequence[bool]) -> Paired | None:
    """Return how those images that are chosen are recognised now and before; None for none."""
    rows = [(a, b) for a, b, one in zip(now, before, chosen, strict=True) if one]
    return paired([a for a, _ in rows], [b for _, b in rows]) if rows else None
