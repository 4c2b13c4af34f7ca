"""How many multiply-adds one call of an operation takes for one image, from shapes alone.

Convolutions, dense layers and attention are counted; normalisations, activations, pooling and sums
count as 0. Knows nothing of blocks or cut points.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import layers

Shape = tuple[int | None, ...]
Rule = Callable[[Any, Shape, Shape], int]  # (layer, input shape, output shape), batch first


def of(node: Any) -> int:
    """Return the multiply-adds per image of one recorded call of an operation.

    A layer with layers inside is called once on zeros, to see the shapes within it.
    """
    operation = node.operation
    if not isinstance(operation, keras.Layer) or not operation.weights:
        return 0
    if not operation._layers:
        return _counted(operation, node.input_tensors[0].shape, node.outputs[0].shape)
    zeros = {
        id(x): keras.ops.zeros([size or 1 for size in x.shape], x.dtype) for x in node.input_tensors
    }
    args, kwargs = node.arguments.fill_in(zeros)
    with _watched(operation) as calls:
        operation(*args, **kwargs)
    return sum(_counted(*call) for call in calls)


@contextlib.contextmanager
def _watched(layer: keras.Layer) -> Iterator[list[tuple[Any, Shape, Shape]]]:
    """Record (layer, input shape, output shape) of each call of `layer` and the layers inside."""
    calls: list[tuple[Any, Shape, Shape]] = []
    inside = [each for each in layer._flatten_layers() if _rule(each)]

    def watch(each: Any) -> None:
        original = each.call

        def call(*args: Any, **kwargs: Any) -> Any:
            y = original(*args, **kwargs)
            x, *_ = keras.tree.flatten((args, kwargs))
            calls.append((each, tuple(x.shape), tuple(keras.tree.flatten(y)[0].shape)))
            return y

        each.call = call

    for each in inside:
        watch(each)
    try:
        yield calls
    finally:
        for each in inside:
            del each.call


def _counted(layer: Any, x: Shape, y: Shape) -> int:
    rule = _rule(layer)
    return rule(layer, x, y) if rule else 0


def _rule(layer: Any) -> Rule | None:
    return next((rule for kinds, rule in RULES.items() if isinstance(layer, kinds)), None)


def _elements(shape: Shape) -> int:
    return math.prod(size or 1 for size in shape[1:])


def _size(weight: Any) -> int:
    return math.prod(weight.shape)


def _convolution(layer: Any, x: Shape, y: Shape) -> int:
    return _elements(y) // layer.filters * _size(layer.kernel)


def _transposed(layer: Any, x: Shape, y: Shape) -> int:
    channels = layer.kernel.shape[-1]
    return _elements(x) // channels * _size(layer.kernel)


def _depthwise(layer: Any, x: Shape, y: Shape) -> int:
    *_, channels, multiplier = layer.kernel.shape
    return _elements(y) // (channels * multiplier) * _size(layer.kernel)


def _separable(layer: Any, x: Shape, y: Shape) -> int:
    kernels = _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel)
    return _elements(y) // layer.filters * kernels


def _dense(layer: Any, x: Shape, y: Shape) -> int:
    return _elements(x) * layer.units


def _einsum(layer: Any, x: Shape, y: Shape) -> int:
    entering, kernel = layer.equation.split("->")[0].split(",")
    free = (n for label, n in zip(kernel, layer.kernel.shape, strict=True) if label not in entering)
    return _elements(x) * math.prod(free)


def _attention(layer: Any, x: Shape, y: Shape) -> int:
    # The projections are layers of their own, counted as such; this is scores and weighted sum,
    # of self-attention: the keys are taken to be as many as the queries.
    tokens = _elements(x[:-1])
    return tokens * tokens * layer.num_heads * (layer.key_dim + layer.value_dim)


RULES: dict[Any, Rule] = {
    (layers.DepthwiseConv1D, layers.DepthwiseConv2D): _depthwise,
    (layers.SeparableConv1D, layers.SeparableConv2D): _separable,
    (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose): _transposed,
    (layers.Conv1D, layers.Conv2D, layers.Conv3D): _convolution,
    layers.Dense: _dense,
    layers.EinsumDense: _einsum,
    layers.MultiHeadAttention: _attention,
}
