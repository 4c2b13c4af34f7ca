"""The ONNX converter works on one graph, not on a copy of all weights for each of its steps."""

import copy

import keras
import numpy as np
import pytest

from tiny import tiny_backbone
from tl_cli.engine.export import _hushed, onnx
from tl_cli.engine.export.network import Network
from tl_cli.engine.networks import classifier


@pytest.mark.long
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_no_copy_of_the_graph_is_made_and_gelu_is_known(tmp_path, monkeypatch, activation):
    copied = []
    real = copy.deepcopy

    def counted(value, *rest):
        copied.append(type(value).__name__)
        return real(value, *rest)

    backbone = tiny_backbone()
    inputs = backbone.model.inputs[0]
    output = keras.layers.Activation(activation)(backbone.model.output)
    model = keras.Model(inputs, output)
    backbone = type(backbone)(backbone.card, 32, model, backbone.blocks)
    built = classifier.build(backbone, ("a", "b"), (len(backbone.blocks),))
    built.set_head(np.random.default_rng(0).normal(size=built.head.kernel.shape), np.zeros(2))
    monkeypatch.setattr(copy, "deepcopy", counted)
    with _hushed():
        onnx.write(Network(built, None, None), tmp_path / "it.onnx")
        images = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
        said = onnx.runtime(tmp_path / "it.onnx")(images)["probabilities"]
    assert "Graph" not in copied
    assert np.abs(said - built.model(images, training=False)).max() < 1e-5
