"""Units with several labels each, dealt into parts so that every part has its share of each label.

Sechidis, Tsoumakas & Vlahavas 2011, "On the stratification of multi-label data". Pure; knows
nothing of images, nor of chance: whoever calls it shuffles first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any


def dealt(
    units: Sequence[Mapping[Any, int]],
    sizes: Sequence[int],
    shares: Sequence[float],
    needed: Collection[int] = (),
) -> list[int]:
    """Return the part, from 0, of each unit.

    `units`: how many images of a unit have each label; `sizes`: how many images it has; `shares`:
    of the images, by part, summing to 1. The label with the fewest images left is dealt first, each
    unit to the part that lacks most of it, of those to the one that lacks most images. `needed`:
    parts that are to have an image of a label, however small their share, where there are enough.
    """
    lacking = [share * sum(sizes) for share in shares]
    left: Counter[Any] = Counter()
    holding: dict[Any, dict[int, None]] = {}
    for number, unit in enumerate(units):
        for label, n in unit.items():
            left[label] += n
            holding.setdefault(label, {})[number] = None
    wanted = {
        label: [max(s * n, 1.0) if p in needed else s * n for p, s in enumerate(shares)]
        for label, n in left.items()
    }
    part = [-1] * len(units)

    def give(number: int, chosen: int) -> None:
        part[number] = chosen
        lacking[chosen] -= sizes[number]
        for label, n in units[number].items():
            wanted[label][chosen] -= n
            left[label] -= n
            holding[label].pop(number)
            if not holding[label]:
                del left[label]

    parts = range(len(shares))
    while left:
        rarest = min(left, key=lambda label: (left[label], str(label)))
        for number in list(holding[rarest]):
            own = wanted[rarest]
            give(number, max(parts, key=lambda p: (own[p], lacking[p], -p)))
    for number in range(len(units)):  # those without a label
        if part[number] < 0:
            give(number, max(parts, key=lambda p: (lacking[p], -p)))
    return part
