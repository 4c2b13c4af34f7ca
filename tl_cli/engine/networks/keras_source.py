"""The networks of keras.applications, their ImageNet weights downloaded once by Keras.

Knows nothing of blocks and heads.
"""

from __future__ import annotations

import contextlib
import math
import sys
from pathlib import Path

import keras

from tl_cli.cards.card import PRETRAINED, Card
from tl_cli.cards.presence import keras_home
from tl_cli.engine.networks.nodes import clone_subgraph, nodes_of
from tl_cli.engine.networks.weights_file import load_weights
from tl_cli.errors import TLError
from tl_cli.quiet import quiet

DEVIATIONS = (0.229, 0.224, 0.225)  # of the channels over ImageNet
FAILED = "URL fetch failure on "


def build(
    card: Card, inputs: keras.KerasTensor, x: keras.KerasTensor, weights: str | None
) -> keras.Model:
    """Return the network from the image to its last map. Raises TLError where there is no network.

    `weights`: "pretrained", a path to a .weights.h5 of the network without its top, or None.
    """
    function = getattr(keras.applications, card.place)
    size = inputs.shape[1]
    try:
        # Keras announces a download on standard output, which is for results
        with quiet(), contextlib.redirect_stdout(sys.stderr):
            network = function(
                include_top=False,
                weights="imagenet" if weights == PRETRAINED else None,
                input_shape=(size, size, 3),
                **dict(card.arguments),
            )
    except Exception as error:
        # keras.applications raises a bare Exception where the download fails
        if FAILED not in str(error):
            raise
        raise _no_network(card, str(error)) from error
    if weights != PRETRAINED and card.place.startswith("EfficientNetB"):
        network = with_deviations(network)
    if weights and weights != PRETRAINED:
        load_weights(network, Path(weights))
    return keras.Model(inputs, network(x), name=card.name)


def with_deviations(network: keras.Model) -> keras.Model:
    """Return an EfficientNet B0 to B7 as Keras builds it for its published weights.

    Those were trained on images divided by the variance, and Keras adds what is missing behind the
    normalisation only where it loads them itself: a saved network that is built anew would lack it.
    """
    factors = [1 / math.sqrt(deviation) for deviation in DEVIATIONS]
    values = {id(network.inputs[0]): network.inputs[0]}
    for node in nodes_of(network):
        clone_subgraph([node], values)
        if isinstance(node.operation, keras.layers.Normalization):
            [normed] = map(id, node.outputs)
            values[normed] = keras.layers.Rescaling(factors)(values[normed])
    return keras.Model(network.inputs[0], values[id(network.outputs[0])], name=network.name)


def _no_network(card: Card, said: str) -> TLError:
    """Name the file and where to put it: the failure holds its address."""
    file = said.split(FAILED)[1].split(": ")[0].rsplit("/", 1)[-1]
    return TLError(
        f"the weights of {card.name} could not be downloaded (no network?)",
        f"put {file} into {keras_home() / 'models'}; or, on a machine with a network, "
        f"tl backbones --fetch {card.name} --to DIR, and give --weights FILE here",
    )
