"""95 % intervals of shares, which have a width however few the images and however right they are.

A bootstrap resamples what was seen: of four images that were all recognised it says 1.000 to 1.000.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Interval = tuple[float, float]

Z = 1.959963984540054  # of the normal distribution, 95 % two-sided


def wilson(hits: int, n: int) -> Interval:
    """Return the interval of a share of n > 0 (Wilson 1927, as Newcombe 1998 recommends)."""
    share, z2 = hits / n, Z * Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # the ends are exact where nothing or everything was right
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == n else centre + half)


def mean_of_shares(counts: Sequence[tuple[int, int]]) -> Interval:
    """Return the interval of the mean of shares, given as (hits, n > 0), one a class."""
    return _mean([(hits / n, *wilson(hits, n)) for hits, n in counts])


def mean_of_f1(counts: Sequence[tuple[int, int]]) -> Interval:
    """Return the interval of a mean F1, from (true positives, images that are or are called so).

    F1 is 2 s / (1 + s) of the share s of the former in the latter (Takahashi et al. 2022).
    """

    def f1(share: float) -> float:
        return 2 * share / (1 + share)

    return _mean([tuple(map(f1, (hits / n, *wilson(hits, n)))) for hits, n in counts])


def _mean(parts: Iterable[tuple[float, ...]]) -> Interval:
    """Return the interval of a mean of independent figures (value, low, high).

    By the method of variance estimates recovery (Zou & Donner 2008).
    """
    rows = list(parts)
    value = sum(row[0] for row in rows) / len(rows)
    below = math.hypot(*(row[0] - row[1] for row in rows)) / len(rows)
    above = math.hypot(*(row[2] - row[0] for row in rows)) / len(rows)
    return max(0.0, value - below), min(1.0, value + above)


def paired_difference(only_first: int, only_second: int, n: int) -> Interval:
    """Return the interval of a difference of two shares of the same n images.

    Agresti & Min 2005: half an image is added to each of the four counts.
    """
    more = (only_first - only_second) / (n + 2)
    variance = (only_first + only_second + 1) / (n + 2) - more * more
    half = Z * math.sqrt(variance / (n + 2))
    seen = (only_first - only_second) / n
    return max(-1.0, min(seen, more - half)), min(1.0, max(seen, more + half))
