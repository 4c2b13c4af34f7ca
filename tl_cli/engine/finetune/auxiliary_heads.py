"""Auxiliary classifiers on any backbone: heads at inner cuts that help to train what lies before.

They exist while a network is trained and are no part of what is saved. Knows nothing of data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from tl_cli.engine.networks.architectures import auxiliary_head
from tl_cli.engine.networks.loading import Backbone
from tl_cli.errors import TLError
from tl_cli.plan.blocks import frozen_shares


@dataclass(frozen=True)
class AuxiliaryHeads:
    """Heads, each a network from the tensor at its cut to class scores; the weight of a loss."""

    cuts: tuple[int, ...] = ()
    heads: tuple[keras.Model, ...] = ()
    weight: float = 0.0

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of all heads: they train whatever else is frozen."""
        return [weight for head in self.heads for weight in head.weights]


NONE = AuxiliaryHeads()


def attach(
    backbone: Backbone, classes: int, number: int, weight: float, frozen: int = 0
) -> AuxiliaryHeads:
    """Return `number` auxiliary heads, spread evenly over the blocks after the first `frozen`.

    Evenly by weighted layers: on GoogLeNet, two of them stand after modules 4a and 4d as in the
    paper. Raises TLError where there are not so many cuts.
    """
    if not number:
        return NONE
    cuts = places(backbone, number, frozen)
    heads = []
    for i, cut in enumerate(cuts, 1):
        x = keras.Input(backbone.blocks[cut - 1].output_shape)
        heads.append(keras.Model(x, auxiliary_head(x, classes, f"aux{i}"), name=f"aux{i}"))
    return AuxiliaryHeads(tuple(cuts), tuple(heads), weight)


def places(backbone: Backbone, number: int, frozen: int = 0) -> Sequence[int]:
    """Return the cuts nearest to the points that divide the trained layers evenly."""
    blocks = backbone.blocks
    free = [cut for cut in range(frozen + 1, len(blocks)) if len(blocks[cut - 1].output_shape) == 3]
    if number > len(free):
        raise TLError(
            f"{number} auxiliary heads do not fit: the trained part of {backbone.card.name} has "
            f"{len(free)} places for one",
            f"--aux-heads {len(free)}" if free else "train more of it with a smaller --freeze",
        )
    begin = frozen_shares(blocks, frozen).layers
    taken: list[int] = []
    for i in range(1, number + 1):
        wanted = begin + (1 - begin) * i / (number + 1)
        left = [cut for cut in free if cut not in taken]
        taken.append(min(left, key=lambda cut: abs(frozen_shares(blocks, cut).layers - wanted)))
    return sorted(taken)
