"""The gradients that are recorded are the ones that train, and looking leaves no trace."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from test_from_scratch import scratch_context
from tiny import coloured, tiny_context, tiny_head, tiny_settings
from tl_cli.engine.finetune import finetune, from_scratch
from tl_cli.engine.finetune.gradient_flow import GradientFlow, gradients
from tl_cli.results.progress import silent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 14, noise=60)


def trained(data, flow):
    keras.utils.set_random_seed(0)
    context = scratch_context(data, epochs=3, gradient_flow=flow)
    return from_scratch.train_from_scratch(context, tiny_settings(context), silent)


@pytest.mark.long
def test_looking_changes_nothing_and_sees_every_layer(data):
    seen, unseen = trained(data, True), trained(data, False)
    networks = [made.trained.classifier for made in (seen, unseen)]
    pairs = zip(*(network.model.weights for network in networks), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    layers = len(networks[0].backbone.layers) + 1
    rows = seen.gradients
    assert {row["depth"] for row in rows} == set(range(1, layers + 1))
    assert {row["epoch"] for row in rows} == {1, 2, 3}
    assert len(rows) == 3 * 3 * layers  # epochs, steps of each, layers
    assert all(np.isfinite(row["rms"]) and row["rms"] > 0 for row in rows)


def test_the_size_is_that_of_the_gradient():
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]], "float32"), np.zeros((2, 1), "float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    kernel, bias = gradients(model, tf.constant(x), tf.constant(y))
    error = x.sum(1)  # the prediction, as the target is 0
    assert np.array(kernel).ravel() == pytest.approx(2 * (error[:, None] * x).mean(0))
    assert np.array(bias) == pytest.approx([2 * error.mean()])


@pytest.mark.long
def test_in_tuning_only_what_is_trained_has_a_gradient(data):
    context = tiny_context(data, "half", epochs=2, gradient_flow=True)
    decided = tiny_settings(context)
    rows = finetune.finetune(context, decided, tiny_head(context), silent).gradients
    frozen = sum(
        len(block.layers) for block in context.backbone.blocks[: decided.plan.frozen_blocks]
    )
    assert min(row["depth"] for row in rows) == frozen + 1
    assert {row["kind"] for row in rows} == {"Conv2D", "Dense"}


@pytest.mark.long
def test_one_step_an_epoch_is_looked_at_once(data):
    context = scratch_context(data, gradient_flow=True, epochs=1, batch_size=64)
    made = from_scratch.train_from_scratch(context, tiny_settings(context), silent)
    assert {row["step"] for row in made.gradients} == {1}
    assert GradientFlow(made.trained.classifier, 100).steps == {0, 50, 99}
