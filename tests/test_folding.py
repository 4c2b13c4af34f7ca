"""BatchNorm folded into the convolution before it: the same function, the same gradients."""

import numpy as np
import pytest

from tl_cli.engine.networks import graph, nodes
from tl_cli.engine.networks.folding import Folded, folded

import keras  # isort: skip  (after the engine, which imports it quietly)
from keras import layers  # isort: skip

CONVOLUTIONS = {
    "plain": lambda: layers.Conv2D(6, 3, padding="same", use_bias=False),
    "biased": lambda: layers.Conv2D(6, 3, bias_initializer="random_normal"),
    "strided": lambda: layers.Conv2D(6, 3, strides=2, use_bias=False),
    "dilated": lambda: layers.Conv2D(6, 3, dilation_rate=2, padding="same"),
    "grouped": lambda: layers.Conv2D(6, 3, groups=2, use_bias=False),
    "depthwise": lambda: layers.DepthwiseConv2D(3, padding="same", use_bias=False),
    "multiplied": lambda: layers.DepthwiseConv2D(3, depth_multiplier=3, strides=2),
}


def stirred(model, seed=0):
    """Give every weight, moments too, a value that is not what it starts with."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.2, 1.2, w.shape).astype("float32") for w in model.weights])
    return model


def tiny(*between, norm=None):
    image = keras.Input((12, 12, 4))
    x = image
    for layer in between:
        x = layer(x)
    return stirred(keras.Model(image, (norm or layers.BatchNormalization())(x)))


def refolded(model, wanted=()):
    values = folded(
        nodes.nodes_of(model), {id(model.input): model.input}, [*model.outputs, *wanted]
    )
    return keras.Model(model.input, [values[id(x)] for x in model.outputs])


def norms_in(model):
    return [o for o in model.operations if isinstance(o, layers.BatchNormalization)]


def images(shape=(3, 12, 12, 4)):
    return np.random.default_rng(1).normal(0, 1, shape).astype("float32")


def same(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_folded_pair_is_the_same_function(name):
    model = tiny(CONVOLUTIONS[name]())
    made = refolded(model)
    assert not norms_in(made)
    same(made.predict_on_batch(images()), model.predict_on_batch(images()))


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"epsilon": 0.1}])
def test_whatever_the_norm_has(options):
    model = tiny(CONVOLUTIONS["biased"](), norm=layers.BatchNormalization(**options))
    made = refolded(model)
    assert not norms_in(made)
    same(made.predict_on_batch(images()), model.predict_on_batch(images()))


@pytest.mark.parametrize(
    "before",
    [
        [layers.Conv2D(6, 3, activation="relu")],
        [layers.Conv2D(6, 3), layers.ReLU()],
        [layers.Conv2DTranspose(6, 3)],
        [layers.Conv2D(6, 3, dtype="mixed_bfloat16")],
    ],
    ids=["activated", "not next", "transposed", "half precision"],
)
def test_what_is_no_single_convolution_is_left(before):
    model = tiny(*before)
    made = refolded(model)
    assert len(norms_in(made)) == 1
    same(made.predict_on_batch(images()), model.predict_on_batch(images()))


def test_a_convolution_that_others_take_too_is_left():
    image = keras.Input((12, 12, 4))
    x = layers.Conv2D(6, 3)(image)
    model = stirred(keras.Model(image, layers.Add()([x, layers.BatchNormalization()(x)])))
    made = refolded(model)
    assert len(norms_in(made)) == 1
    same(made.predict_on_batch(images()), model.predict_on_batch(images()))


def test_a_tensor_that_is_asked_for_is_not_folded_away():
    image = keras.Input((12, 12, 4))
    x = layers.Conv2D(6, 3)(image)
    model = keras.Model(image, layers.BatchNormalization()(x))
    assert not norms_in(refolded(model))
    assert len(norms_in(refolded(model, [x]))) == 1


def test_what_trains_is_the_network_itself():
    """A step of the folded network changes the shared weights as one of the plain network does."""
    changed = []
    for fold in (False, True):
        model = stirred(tiny(CONVOLUTIONS["biased"](), layers.BatchNormalization(), layers.ReLU(),
                             CONVOLUTIONS["depthwise"]()))  # fmt: skip
        for norm in norms_in(model):
            norm.trainable = False
        made = refolded(model) if fold else keras.Model(model.input, [model.output])
        made.compile(keras.optimizers.SGD(1e-3), "mse", jit_compile=False)
        made.fit(images(), np.ones((3, *model.output.shape[1:])), verbose=0)
        changed.append(model.get_weights())
    start = stirred(model).get_weights()
    for plain, through in zip(*changed, strict=True):
        same(through, plain)
    moved = [np.abs(a - b).max() > 0 for a, b in zip(changed[1], start, strict=True)]
    assert moved == [w.path in {v.path for v in model.trainable_weights} for w in model.weights]


@pytest.mark.parametrize(
    "name",
    ["MobileNet", *(pytest.param(n, marks=pytest.mark.slow) for n in ("ResNet50", "InceptionV3"))],
)
def test_known_networks_fold(name):
    options = {"include_top": False, "weights": None, "input_shape": (75, 75, 3)}
    model = stirred_little(getattr(keras.applications, name)(**options))
    cuts = [2, len(graph.blocks(model))]
    plain, quick = (graph.feature_extractor(model, cuts, fold=fold) for fold in (False, True))
    assert norms_in(plain)
    assert not norms_in(quick)
    assert any(isinstance(layer, Folded) for layer in quick.layers)
    x = np.random.default_rng(2).uniform(0, 1, (2, 75, 75, 3)).astype("float32")
    for got, expected in zip(quick.predict_on_batch(x), plain.predict_on_batch(x), strict=True):
        same(got, expected)


def stirred_little(model):
    rng = np.random.default_rng(0)
    for norm in norms_in(model):
        for weight in norm.weights:
            weight.assign(weight.value * rng.uniform(0.8, 1.2, weight.shape))
    return model
