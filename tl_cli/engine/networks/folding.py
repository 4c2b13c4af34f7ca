"""BatchNorm in inference mode, folded into the convolution before it: one pass over a map, not two.

A frozen BatchNorm multiplies each channel and adds to it, and so does a convolution: the product is
a convolution again (Jacob et al. 2018, arXiv:1712.05877, section 3.2). The weights stay where they
are and are multiplied anew at each call, which costs nothing beside the map, so that what trains
through a folded network trains the network. Knows nothing of blocks and cut points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from tl_cli.engine.networks.nodes import Node, Tensor, clone_subgraph

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


class Folded(keras.layers.Layer):
    """A convolution and the BatchNorm after it, in inference mode, as one convolution.

    Shares their weights. Maps [batch, height, width, channels] as the two of them do.
    """

    def __init__(self, convolution: Any, norm: keras.layers.BatchNormalization) -> None:
        super().__init__(dtype=convolution.dtype_policy)
        self.convolution, self.norm = convolution, norm
        self.built = True

    def call(self, x: Any) -> Any:
        layer, (scale, shift) = self.convolution, self._scale_and_shift()
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            scale = ops.reshape(scale, layer.kernel.shape[2:])
            apply, strides = ops.depthwise_conv, layer.strides
        else:
            apply, strides = ops.conv, list(layer.strides)
        y = apply(
            x,
            layer.kernel * scale,
            strides=strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )
        return y + shift

    def _scale_and_shift(self) -> tuple[Any, Any]:
        norm, layer = self.norm, self.convolution
        scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
        if norm.scale:
            scale = scale * norm.gamma
        mean = norm.moving_mean - layer.bias if layer.use_bias else norm.moving_mean
        shift = -mean * scale
        return scale, shift + norm.beta if norm.center else shift

    def compute_output_shape(self, shape: Any) -> Any:
        return self.convolution.compute_output_shape(shape)


def folded(
    nodes: Sequence[Node], values: dict[int, Tensor], wanted: Iterable[Tensor]
) -> dict[int, Tensor]:
    """Call the operations of `nodes` again, as `nodes.replayed` does, with what can be folded.

    `wanted`: the tensors that will be asked for; what leads to them alone is never folded away.
    Returns `values` with those of all tensors but the ones between a pair that was folded.
    """
    pairs = _pairs(nodes, {id(x) for x in wanted})
    norms = {id(norm) for _, norm in pairs.values()}
    for node in nodes:
        if id(node) in pairs:
            convolution, norm = pairs[id(node)]
            [entering] = convolution.input_tensors
            layer = Folded(convolution.operation, norm.operation)
            values[id(norm.outputs[0])] = layer(values[id(entering)])
        elif id(node) not in norms:
            clone_subgraph([node], values)
    return values


def _pairs(nodes: Sequence[Node], wanted: set[int]) -> dict[int, tuple[Node, Node]]:
    """Return by its id each convolution that nothing but a BatchNorm takes, and that BatchNorm."""
    users: dict[int, list[Node]] = {}
    for node in nodes:
        for tensor in node.input_tensors:
            users.setdefault(id(tensor), []).append(node)
    found = {}
    for node in nodes:
        after = users.get(id(node.outputs[0]), [])
        if id(node.outputs[0]) not in wanted and len(after) == 1 and _fit(node, after[0]):
            found[id(node)] = (node, after[0])
    return found


def _fit(node: Node, after: Node) -> bool:
    """Return whether the two are one convolution. In half precision rounding would differ."""
    layer, norm = node.operation, after.operation
    return (
        type(layer) in CONVOLUTIONS
        and type(norm) is keras.layers.BatchNormalization
        and layer.activation in (None, keras.activations.linear)
        and layer.data_format == "channels_last"
        and norm.axis in (-1, 3)
        and layer.compute_dtype == norm.compute_dtype == "float32"
    )
