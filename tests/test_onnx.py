"""What is special about ONNX's converter."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tl_cli.engine.export import _hushed, onnx


def test_a_network_that_an_optimization_of_the_converter_stumbles_over_is_written(tmp_path):
    """MobileNetV3-Small 0.75 is one: a number is added behind a convolution without a bias."""
    kernel = np.random.default_rng(0).normal(0, 1, (3, 3, 3, 4)).astype("float32")

    @tf.function
    def network(image):
        added = tf.nn.conv2d(image, kernel, 1, "SAME") + 3.0
        return {"probabilities": tf.reduce_mean(tf.nn.relu6(added), [1, 2])}

    image, path = tf.TensorSpec([None, 8, 8, 3], tf.float32, name="image"), tmp_path / "m.onnx"
    given = SimpleNamespace(function=network, image=image, quantize=None, facts={"by": "tl"})
    with _hushed():
        with onnx._without_copies(), pytest.raises(ValueError, match="empty sequence"):
            onnx.tf2onnx.convert.from_function(network, [image], opset=onnx.OPSET)
        onnx.write(given, path)
    images = np.random.default_rng(1).uniform(0, 1, (2, 8, 8, 3)).astype("float32")
    said = onnx.runtime(path)(images)["probabilities"]
    assert np.abs(said - network(images)["probabilities"].numpy()).max() < 1e-5
