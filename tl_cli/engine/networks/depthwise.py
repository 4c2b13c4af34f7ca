"""A convolution in as many groups as channels, as the depthwise convolution that it is.

Keras compiles grouped convolutions by XLA, of which converters to other formats can make nothing
and which is slow on a CPU. The numbers are the same, in another shape. Knows nothing of blocks.
"""

from __future__ import annotations

from typing import Any

import keras

from tl_cli.engine.networks.nodes import Node, clone_subgraph, nodes_of, unique_names


def with_depthwise(model: keras.Model) -> keras.Model:
    """Return an opened functional model with its depthwise convolutions as such, or itself.

    The other layers are shared with it.
    """
    nodes = nodes_of(model)
    if not any(map(_is_depthwise, nodes)):
        return model
    image = model.inputs[0]
    values: dict[int, Any] = {id(image): image}
    made: dict[int, keras.Layer] = {}
    for node in nodes:
        if not _is_depthwise(node):
            clone_subgraph([node], values)
            continue
        layer = node.operation
        if id(layer) not in made:
            made[id(layer)] = _same(layer, node.input_tensors[0].shape)
        values[id(node.outputs[0])] = made[id(layer)](values[id(node.input_tensors[0])])
    output = keras.tree.map_structure(lambda x: values[id(x)], model.output)
    with unique_names([*model.operations, *made.values()]):
        return keras.Model(model.input, output, name=model.name)


def _is_depthwise(node: Node) -> bool:
    layer = node.operation
    return type(layer) is keras.layers.Conv2D and layer.groups > 1 and layer.kernel.shape[2] == 1


def _same(layer: keras.layers.Conv2D, shape: Any) -> keras.layers.DepthwiseConv2D:
    """Return the depthwise layer of the same name and numbers."""
    height, width, _, filters = layer.kernel.shape
    depthwise = keras.layers.DepthwiseConv2D(
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        depth_multiplier=filters // layer.groups,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
        activation=layer.activation,
        use_bias=layer.use_bias,
        dtype=layer.dtype_policy,
        name=layer.name,
    )
    depthwise.build(shape)
    kernel, *bias = layer.get_weights()
    # the filters of a group stand side by side in both
    depthwise.set_weights(
        [kernel.reshape(height, width, layer.groups, filters // layer.groups), *bias]
    )
    return depthwise
