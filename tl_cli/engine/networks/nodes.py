"""The calls recorded in a functional Keras model, nested models opened, and how to repeat them.

The one place that reads Keras' own record of a graph. Knows nothing of blocks or cut points.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras

from tl_cli.errors import TLError

_READABLE = ("keras.src.models.functional", "keras.src.models.sequential")

Node = Any  # one call of one operation, as Keras records it
Tensor = Any  # a KerasTensor


def flatten_nested(model: keras.Model) -> keras.Model:
    """Return the model with its nested functional and sequential models replaced by their layers.

    The model itself when nothing is nested. Raises TLError when it is not functional.
    """
    net = _functional(model)
    if net is None:
        raise TLError(
            f"the graph of '{model.name}' cannot be read: it is not a functional Keras model",
            "build it with keras.Model(inputs, outputs)",
        )
    if not any(_functional(operation) for operation in net.operations):
        return net
    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in net.inputs]
    outputs = clone_subgraph(nodes_of(net), dict(zip(map(id, net.inputs), inputs, strict=True)))
    with unique_names(_operations_within(net)):
        return keras.Model(
            keras.tree.pack_sequence_as(net.input, inputs),
            keras.tree.map_structure(lambda x: outputs[id(x)], net.output),
            name=net.name,
        )


def _functional(operation: Any) -> Any:
    """Return the graph inside a functional or sequential model, None for any other operation."""
    # A subclass with a call of its own does something else than run its graph.
    if not isinstance(operation, keras.Model) or type(operation).call.__module__ not in _READABLE:
        return None
    return operation._functional if isinstance(operation, keras.Sequential) else operation


def _operations_within(net: Any) -> Iterator[Any]:
    """Yield the operations of a model and of the functional models in it, some more than once."""
    for operation in net.operations:
        inner = _functional(operation)
        yield from _operations_within(inner) if inner is not None else [operation]


@contextlib.contextmanager
def unique_names(operations: Iterable[Any]) -> Iterator[None]:
    """Give each operation a name of its own while a model is made of them, as Keras demands.

    Two nested models may well have layers of the same name; theirs to keep, for their own saving.
    """
    names = {operation: operation.name for operation in operations}
    taken: set[str] = set()
    for operation, name in names.items():
        tries = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2)))
        operation.name = next(new for new in tries if new not in taken)
        taken.add(operation.name)
    try:
        yield
    finally:
        for operation, name in names.items():
            operation.name = name


def nodes_of(net: Any) -> list[Node]:
    """Return the calls of a functional model, inputs left out, in an order they can run in."""
    by_depth = net._nodes_by_depth
    order = (node for depth in sorted(by_depth, reverse=True) for node in reversed(by_depth[depth]))
    return [node for node in order if not node.is_input]


def clone_subgraph(nodes: Sequence[Node], values: dict[int, Tensor], training: Any = None) -> Any:
    """Call the operations of `nodes` again, from `values`, by id of the tensor they stand for.

    Keras hands a `training` that was given to a model on to every layer in it; so does this.
    """
    for node in nodes:
        args, kwargs = node.arguments.fill_in(values)
        if training is not None and isinstance(node.operation, keras.Layer):
            kwargs = {**kwargs, "training": training}
        results = _called(node.operation, args, kwargs)
        values |= zip(map(id, node.outputs), keras.tree.flatten(results), strict=True)
    return values


def _called(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call one operation, or each of those inside it when it is a nested functional model."""
    inner = _functional(operation)
    if inner is None:
        return operation(*args, **kwargs)
    given = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
    start = {
        id(ref): x if x.dtype == ref.dtype else keras.ops.cast(x, ref.dtype)
        for x, ref in zip(given, inner.inputs, strict=False)  # masks follow the inputs
    }
    values = clone_subgraph(nodes_of(inner), start, kwargs.get("training"))
    return [values[id(x)] for x in inner.outputs]


def leaves(operation: Any) -> list[keras.Layer]:
    """Return the weighted leaf layers of one operation: itself, or those inside it."""
    if not isinstance(operation, keras.Layer):
        return []
    return [leaf for leaf in operation._flatten_layers() if leaf.weights and not leaf._layers]
