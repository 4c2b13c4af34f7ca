"""A Keras model of one's own: opened without executing anything of it, and cut before its answers.

Knows nothing of plans and heads.
"""

from __future__ import annotations

from pathlib import Path

import keras

from tl_cli.cards import places
from tl_cli.cards.card import PRETRAINED, Card
from tl_cli.engine.networks import architecture, graph
from tl_cli.engine.networks.nodes import clone_subgraph, flatten_nested, nodes_of
from tl_cli.engine.networks.weights_file import load_weights
from tl_cli.errors import TLError
from tl_cli.quiet import quiet


def build(
    card: Card, inputs: keras.KerasTensor, x: keras.KerasTensor, weights: str | None
) -> keras.Model:
    """Return the network from the image to its last map, or to its pooled output.

    Raises TLError where the file is no such model, or does not take images of the size of `inputs`.
    """
    whole = _opened(card, pretrained=weights == PRETRAINED)
    net = flatten_nested(whole)
    _check_input(card, net)
    if weights and weights != PRETRAINED:
        load_weights(whole, Path(weights))
    return keras.Model(inputs, _up_to_the_last_map(card, net, x), name="own")


def _opened(card: Card, *, pretrained: bool) -> keras.Model:
    path, whence = Path(card.place).expanduser(), f"'{card.place}'"
    description = places.config_of(path)
    if not pretrained:
        return architecture.built(description, whence)
    architecture.checked(description, whence)
    try:
        with quiet():
            return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged file makes Keras raise
        first = str(error).strip().split("\n")[0]
        raise TLError(f"{whence} cannot be opened: {first}") from error


def _check_input(card: Card, net: keras.Model) -> None:
    shapes = [tuple(x.shape) for x in net.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        said = " and ".join(" x ".join(map(str, shape[1:])) for shape in shapes)
        raise TLError(
            f"'{card.place}' takes {said}, not images of three colours",
            "give a model whose one input is [batch, height, width, 3]",
        )


def _up_to_the_last_map(card: Card, net: keras.Model, x: keras.KerasTensor) -> keras.KerasTensor:
    """Repeat the network on `x` up to its last map of more than one place, else its last vector.

    Where that is is decided at the network's own size, so that it is one cut at every size.
    """
    if None in net.inputs[0].shape[1:]:
        own = keras.Input((card.image_size, card.image_size, 3))
        net = keras.Model(own, _repeated(card, net, own, len(nodes_of(net))))
        net = flatten_nested(net)
    cuts = graph.cuts(net)[:-1]
    maps = [cut for cut in cuts if len(cut.tensor.shape) == 4 and cut.tensor.shape[1] > 1]
    vectors = [cut for cut in cuts if len(cut.tensor.shape) in (2, 3)]
    if not (maps or vectors):
        raise TLError(
            f"'{card.place}' has no place where it could be cut before its answers",
            "give a model whose layers follow one another",
        )
    return _repeated(card, net, x, (maps or vectors)[-1].end)


def _repeated(card: Card, net: keras.Model, x: keras.KerasTensor, end: int) -> keras.KerasTensor:
    nodes = nodes_of(net)[:end]
    try:
        values = clone_subgraph(nodes, {id(net.inputs[0]): x})
    except ValueError as error:
        raise TLError(
            f"'{card.place}' cannot take images of {x.shape[1]} px",
            f"it was made for {card.image_size} px: leave --image-size out",
        ) from error
    return values[id(nodes[-1].outputs[0])]
