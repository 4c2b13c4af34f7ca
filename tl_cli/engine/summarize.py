"""A network or a module -> its Summary, from the graph itself. Knows nothing of how it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import keras

from tl_cli.catalog import Card
from tl_cli.engine.networks import architectures, graph, loading, multiply_adds
from tl_cli.engine.networks.architectures import GOOGLENET, Widths
from tl_cli.errors import TLError
from tl_cli.results.network_summary import INPUT, Cost, LayerRow, Reduction, Summary

CLASSES = 1000  # of the auxiliary head that is shown
# Where the modules of GoogLeNet stand at 224 px
MODULE_SIDES = {"3": 28, "4": 14, "5": 7}


def network(card: Card, image_size: int, frozen_blocks: int = 0) -> tuple[Summary, keras.Model]:
    """Return a backbone's summary, and the network; its first blocks are marked as frozen."""
    backbone = loading.load(card, image_size, weights=None)
    names = [block.name for block in backbone.blocks]
    rows = _rows(backbone.model, names, frozen_blocks)
    return Summary(card.name, (image_size, image_size, 3), rows), backbone.model


def module(name: str, shape: Sequence[int]) -> tuple[Summary, keras.Model]:
    """Return a module's summary on an input [h, w, c], and the module as a network.

    Raises TLError for a shape on which it cannot be built.
    """
    model = _built(name, shape)
    summary = Summary(name, tuple(shape), _rows(model, [name] * len(graph.calls(model)), 0))
    if not name.startswith("inception"):
        return summary, model
    nearest = _nearest(shape)
    own = Reduction(nearest, tuple(shape), *_pair(shape, GOOGLENET[nearest]))
    nine = googlenet_reductions()
    found = nine if own in nine else [own, *nine]
    return Summary(name, summary.input_shape, summary.rows, tuple(found)), model


def googlenet_reductions() -> list[Reduction]:
    """Return the nine modules of GoogLeNet at 224 px, without and with reductions."""
    found, channels = [], 192
    for name, widths in GOOGLENET.items():
        side = MODULE_SIDES[name[0]]
        shape = (side, side, channels)
        found.append(Reduction(name, shape, *_pair(shape, widths)))
        channels = widths.out
    return found


def draw(model: keras.Model, path: Path) -> None:
    """Draw the network with graphviz. Raises ImportError or OSError where it is not to be had."""
    keras.utils.plot_model(model, path, show_shapes=True)


def _pair(shape: Sequence[int], widths: Widths) -> list[Cost]:
    found = []
    for build in (architectures.inception_naive, architectures.inception):
        x = keras.Input(tuple(shape))
        rows = _rows(keras.Model(x, build(x, widths)), [""], 0)
        parameters, adds = (
            sum(getattr(r, k) for r in rows) for k in ("parameters", "multiply_adds")
        )
        found.append(Cost(rows[-1].output_shape, parameters, adds))
    return found


def _nearest(shape: Sequence[int]) -> str:
    """Return the module of GoogLeNet that takes this shape, or else the first."""
    channels = 192
    for name, widths in GOOGLENET.items():
        if (MODULE_SIDES[name[0]], channels) == (shape[0], shape[2]):
            return name
        channels = widths.out
    return next(iter(GOOGLENET))


def _built(name: str, shape: Sequence[int]) -> keras.Model:
    widths = GOOGLENET[_nearest(shape)]
    naive = partial(architectures.inception_naive, widths=widths)
    build: dict[str, Callable[[keras.KerasTensor], keras.KerasTensor]] = {
        "inception": partial(architectures.inception, widths=widths),
        "inception_naive": naive,
        "inception_chained": partial(naive, chained=True),
        "residual": lambda x: architectures.residual(x, shape[-1]),
        "auxiliary_head": lambda x: architectures.auxiliary_head(x, CLASSES),
    }
    x = keras.Input(tuple(shape))
    try:
        return keras.Model(x, build[name](x), name=name)
    except ValueError as error:
        raise TLError(f"{name} cannot be built on an input of {shape}: {error}") from error


def _rows(model: keras.Model, blocks: Sequence[str], frozen_blocks: int) -> tuple[LayerRow, ...]:
    seen: set[int] = set()
    made: dict[int, str] = {id(x): INPUT for x in model.inputs}
    rows = []
    for number, (block, part) in enumerate(zip(blocks, graph.calls(model), strict=False)):
        for node in part:
            operation = node.operation
            weights = [w for w in getattr(operation, "weights", ()) if id(w) not in seen]
            seen.update(map(id, weights))
            rows.append(
                LayerRow(
                    name=operation.name,
                    kind=type(operation).__name__,
                    block=block,
                    output_shape=tuple(node.outputs[0].shape[1:]),
                    parameters=sum(math.prod(w.shape) for w in weights),
                    multiply_adds=multiply_adds.of(node),
                    frozen=number < frozen_blocks,
                    inputs=tuple(made.get(id(x), INPUT) for x in node.input_tensors),
                )
            )
            made |= {id(x): operation.name for x in node.outputs}
    return tuple(rows)
