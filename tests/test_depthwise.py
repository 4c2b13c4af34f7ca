"""Depthwise convolutions written as grouped ones are the same network, and can be exported."""

import keras
import numpy as np
import pytest

from reference_images import reference_images
from tl_cli import catalog
from tl_cli.engine.networks import loading
from tl_cli.engine.networks.depthwise import with_depthwise


@pytest.mark.parametrize("filters", [6, 12])
def test_a_grouped_convolution_is_the_depthwise_one(filters):
    inputs = keras.Input((8, 8, 6))
    x = keras.layers.Conv2D(filters, 3, 2, "same", groups=6, bias_initializer="ones", name="own")(
        inputs
    )
    model = keras.Model(inputs, keras.layers.ReLU()(x))
    again = with_depthwise(model)
    assert isinstance(again.get_layer("own"), keras.layers.DepthwiseConv2D)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 6)).astype("float32")
    assert np.abs(again(images) - model(images)).max() < 1e-5


def test_a_network_without_is_left_as_it_is():
    inputs = keras.Input((8, 8, 6))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3, groups=2)(inputs))
    assert with_depthwise(model) is model


@pytest.mark.long
def test_convnext_has_none_in_groups_and_says_the_same():
    card = catalog.get("convnext_tiny")
    backbone = loading.load(card, 32, weights=None)
    assert not any(getattr(layer, "groups", 1) > 1 for layer in backbone.layers)
    assert [block.parameters for block in backbone.blocks] == [b.parameters for b in card.blocks]
    network = keras.applications.ConvNeXtTiny(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    shapes = [weight.shape for weight in network.weights]
    values = [w.reshape(s) for w, s in zip(backbone.model.get_weights(), shapes, strict=True)]
    network.set_weights(values)
    images = reference_images(32)
    assert np.abs(network(images) - backbone.model(images)).max() < 1e-3
