"""Cut points of any backbone: where they fall, what the blocks weigh, and that halves add up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tl_cli.engine.networks import graph
from tl_cli.engine.networks.architectures.efficientnet_lite import efficientnet_lite
from tl_cli.engine.networks.nodes import flatten_nested
from tl_cli.errors import TLError
from tl_cli.plan.blocks import Block, frozen_shares, nearest_cut

import keras  # isort: skip  (after the engine, which imports it quietly)
from keras import layers as L  # isort: skip

# name: (image size, blocks, costly)
APPLICATIONS = {
    "MobileNet": (64, 14),
    "MobileNetV2": (64, 19),
    "MobileNetV3Small": (64, 13),
    "VGG16": (32, 13),
    "EfficientNetB0": (64, 18),
    "NASNetMobile": (64, 2),
    "EfficientNetV2B0": (64, 23),
    "ConvNeXtTiny": (64, 22),
    "ResNet50": (64, 17),
    "ResNet50V2": (64, 17),
    "DenseNet121": (64, 62),
    "InceptionV3": (75, 16),
    "Xception": (75, 16),
}
# one of each kind; the others are built in the slow job
QUICK = ("MobileNet", "MobileNetV3Small", "VGG16", "ConvNeXtTiny", "ResNet50")
EACH_KIND = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in APPLICATIONS
]


# --- Networks to look at -----------------------------------------------------------------------


def conv_bn(x, filters, kernel=3, strides=1, activation=True):
    x = L.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
    x = L.BatchNormalization()(x)
    return L.ReLU(6.0)(x) if activation else x


def mbconv(x, filters, expand=6, strides=1, gate=False):
    """Expand, depthwise, squeeze-and-excite if asked, project; residual where the shapes match."""
    start = x
    if expand > 1:
        x = conv_bn(x, start.shape[-1] * expand, 1)
    if strides == 2:
        x = L.ZeroPadding2D(1)(x)
    x = L.DepthwiseConv2D(3, strides, padding="valid" if strides == 2 else "same", use_bias=False)(
        x
    )
    x = L.ReLU(6.0)(L.BatchNormalization()(x))
    if gate:
        squeezed = L.GlobalAveragePooling2D(keepdims=True)(x)
        squeezed = L.Conv2D(x.shape[-1], 1, activation="sigmoid")(L.Conv2D(4, 1)(squeezed))
        x = L.Multiply()([x, squeezed])
    x = conv_bn(x, filters, 1, activation=False)
    return L.Add()([x, start]) if strides == 1 and start.shape[-1] == filters else x


def tiny_mbnet(gate=False):
    """Stem, six MBConv, head: as EfficientNet is made."""
    image = keras.Input((32, 32, 3))
    x = conv_bn(L.Rescaling(1 / 127.0, -1.0)(image), 8, strides=2)
    x = mbconv(x, 4, expand=1, gate=gate)
    for filters, strides in ((6, 2), (6, 1), (10, 1), (10, 1), (12, 2)):
        x = mbconv(x, filters, strides=strides, gate=gate)
    return keras.Model(image, conv_bn(x, 40, 1))


def application(name):
    size = APPLICATIONS[name][0]
    build = getattr(keras.applications, name)
    return build(weights=None, include_top=False, input_shape=(size, size, 3))


def stirred(model, seed=0):
    """Give BatchNorm something to do, and stop what is random when it trains."""
    rng = np.random.default_rng(seed)
    for layer in graph.weighted_leaf_layers(model):
        if isinstance(layer, L.BatchNormalization):
            width = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.1, width))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, width))
    for operation in flatten_nested(model).operations:
        if hasattr(operation, "rate"):
            operation.rate = 0.0
    return model


def images(model, count=4, seed=1):
    return np.random.default_rng(seed).uniform(0, 255, (count, *model.input_shape[1:])).astype("f")


# --- Halves add up -----------------------------------------------------------------------------


def assert_near(got, expected, tolerance=1e-4):
    got, expected = np.asarray(got, "f8"), np.asarray(expected, "f8")
    assert got.shape == expected.shape
    assert expected.std() > 0, "a constant output would prove nothing"
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def assert_halves_add_up(model, cuts, x):
    """Prefix then suffix equals the whole, in inference and with only the suffix training.

    In Keras a layer that is not trainable runs its BatchNorm in inference mode, so the whole
    network called with training=True, the prefix's layers frozen, is what the suffix must equal;
    it must move the same BatchNorm moments in the same way too.
    """
    parts = graph.blocks(model)
    leaves = graph.weighted_leaf_layers(model)
    whole = model(x, training=False)
    start = model.get_weights()
    for cut in cuts:
        prefix, suffix = graph.split(model, cut)
        features = x if prefix is None else prefix(x, training=False)
        assert features.shape[1:] == (parts[cut - 1].output_shape if cut else x.shape[1:])
        assert_near(suffix(features, training=False), whole)

        frozen = sum(len(b.layers) for b in parts[:cut])
        for i, leaf in enumerate(leaves):
            leaf.trainable = i >= frozen
        expected = model(x, training=True)
        moved = model.get_weights()
        model.set_weights(start)
        assert_near(suffix(features, training=True), expected)
        for got, want in zip(model.get_weights(), moved, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)
        model.set_weights(start)


@pytest.mark.parametrize(
    ("gate", "step"),
    [
        pytest.param(True, 3, id="gated"),
        pytest.param(True, 1, id="gated, every cut", marks=pytest.mark.long),
        pytest.param(False, 1, id="plain, every cut", marks=pytest.mark.slow),
    ],
)
def test_halves_of_a_tiny_network_add_up(gate, step):
    model = stirred(tiny_mbnet(gate))
    assert_halves_add_up(model, range(0, len(graph.blocks(model)), step), images(model))


def spread(count):
    return sorted({1, count // 4, count // 2, 3 * count // 4, count - 1})


@pytest.mark.long
@pytest.mark.parametrize("name", ["MobileNetV3Small"])  # the others: at every cut, slow
def test_halves_of_a_known_network_add_up(name):
    model = stirred(application(name))
    assert_halves_add_up(model, spread(APPLICATIONS[name][1]), images(model))


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_halves_of_a_known_network_add_up_at_every_cut(name):
    model = stirred(application(name))
    assert_halves_add_up(model, range(APPLICATIONS[name][1]), images(model))


def test_gradients_of_the_suffix_are_those_of_the_whole():
    import tensorflow as tf

    model = stirred(tiny_mbnet())
    x = images(model)
    prefix, suffix = graph.split(model, 4)
    for layer in graph.weighted_leaf_layers(prefix):
        layer.trainable = False
    with tf.GradientTape(persistent=True) as tape:
        whole = tf.reduce_mean(model(x, training=True) ** 2)
        half = tf.reduce_mean(suffix(prefix(x), training=True) ** 2)
    assert [id(v) for v in suffix.trainable_variables] == [id(v) for v in model.trainable_variables]
    for a, b in zip(
        tape.gradient(half, suffix.trainable_variables),
        tape.gradient(whole, model.trainable_variables),
        strict=True,
    ):
        # Through BatchNorm some gradients are zero but for rounding: hence the floor.
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.long
def test_training_the_suffix_trains_the_network_and_nothing_before_the_cut():
    model = stirred(tiny_mbnet())
    x = images(model)
    prefix, suffix = graph.split(model, 4)
    before, start = model(x, training=False), prefix.get_weights()
    features = np.asarray(prefix(x, training=False))
    suffix.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    suffix.fit(features, np.zeros((4, *suffix.output_shape[1:])), epochs=1, verbose=0)
    after = model(x, training=False)
    assert np.abs(after - before).max() > 1e-3
    assert_near(suffix(features, training=False), after)
    assert all(np.array_equal(a, b) for a, b in zip(start, prefix.get_weights(), strict=True))


def test_the_ends_of_the_range():
    model = tiny_mbnet()
    count = len(graph.blocks(model))
    x = images(model)
    nothing, whole = graph.split(model, 0)
    assert nothing is None
    assert_near(whole(x), model(x))
    whole, nothing = graph.split(model, count)
    assert nothing is None
    assert_near(whole(x), model(x))
    for cut in (-1, count + 1):
        with pytest.raises(ValueError, match=f"cut {cut} is outside 0..{count}"):
            graph.split(model, cut)
        with pytest.raises(ValueError, match=f"cut {cut} is outside"):
            graph.feature_extractor(model, [1, cut])


def test_taps_are_the_tensors_at_the_cuts_in_the_order_asked_for():
    model = stirred(tiny_mbnet())
    x = images(model)
    count = len(graph.blocks(model))
    cuts = [count, 2, 5]
    for cut, got in zip(cuts, graph.feature_extractor(model, cuts)(x, training=False), strict=True):
        assert_near(got, graph.split(model, cut)[0](x, training=False))
    assert_near(graph.feature_extractor(model, [3])(x), graph.split(model, 3)[0](x))


@pytest.mark.others_long(1)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_halves_under_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = stirred(tiny_mbnet())
    finally:
        keras.config.set_dtype_policy("float32")
    x = images(model)
    prefix, suffix = graph.split(model, 4)
    features = prefix(x, training=False)
    assert suffix.inputs[0].dtype == features.dtype == policy.removeprefix("mixed_")
    assert_near(suffix(features, training=False), model(x, training=False), 1e-2)
    # Features come back from the store as float16 whatever the policy, or as float32 by option.
    for stored in ("float16", "float32"):
        kept = np.asarray(keras.ops.cast(features, stored))
        assert_near(suffix(kept, training=False), model(x, training=False), 2e-2)


def test_float16_features_are_cast_for_a_float32_suffix():
    model = stirred(tiny_mbnet())
    x = images(model)
    prefix, suffix = graph.split(model, 4)
    assert suffix.inputs[0].dtype == "float32"
    stored = np.asarray(prefix(x, training=False)).astype("float16")
    assert_near(suffix(stored, training=False), model(x, training=False), 1e-2)


# --- Nested, shared, branched ------------------------------------------------------------------


def nested_net(**call):
    """A functional model in a sequential one in a functional one, the first part called on 32 px
    though it was made for any size."""
    anywhere = keras.Input((None, None, 8))
    inner = keras.Model(anywhere, L.Add()([conv_bn(conv_bn(anywhere, 8), 8), anywhere]))
    middle = keras.Sequential([inner, L.MaxPooling2D(), L.Conv2D(12, 3, name="after")])
    image = keras.Input((32, 32, 3))
    x = middle(conv_bn(image, 8), **call)
    return keras.Model(image, conv_bn(x, 16))


def test_nested_models_are_opened():
    model = stirred(nested_net())
    parts = graph.blocks(model)
    assert [b.output_shape for b in parts] == [
        (32, 32, 8),
        (16, 16, 8),
        (14, 14, 12),
        (14, 14, 16),
    ]
    assert sum(b.parameters for b in parts) == model.count_params()
    assert [len(b.layers) for b in parts] == [2, 4, 1, 2]
    assert [type(x).__name__ for x in graph.weighted_leaf_layers(model)][-3] == "Conv2D"
    assert_halves_add_up(model, range(len(parts)), images(model))


def test_a_network_without_nesting_is_left_as_it_is():
    model = tiny_mbnet()
    assert flatten_nested(model) is model


@pytest.mark.parametrize("given", [False, True])
def test_training_given_to_a_nested_model_keeps_its_meaning(given):
    """What the nested part was called with holds for it until the whole is told otherwise."""
    model = stirred(nested_net(training=given))
    x = images(model)
    flat = flatten_nested(model)
    for training in (None, False, True):
        start = model.get_weights()
        expected = model(x, training=training)
        model.set_weights(start)
        assert_near(flat(x, training=training), expected)
        model.set_weights(start)


def test_nested_models_may_use_the_same_names_and_keep_them():
    def part(channels):
        x = keras.Input((16, 16, channels))
        return keras.Model(x, L.ReLU(name="relu")(L.Conv2D(4, 3, padding="same", name="conv")(x)))

    image = keras.Input((16, 16, 3))
    second = part(4)
    model = keras.Model(image, second(second(part(3)(image))))
    assert len(graph.blocks(model)) == 2
    names = [layer.name for layer in graph.weighted_leaf_layers(model)]
    assert names == ["conv", "conv"]
    assert_halves_add_up(model, range(2), images(model))
    x = images(model)
    assert_near(graph.feature_extractor(model, [1])(x), graph.split(model, 1)[0](x))


def test_a_sequential_network_has_blocks():
    model = keras.Sequential([keras.Input((16, 16, 3)), L.Conv2D(4, 3), L.ReLU(), L.Conv2D(8, 3)])
    assert [b.output_shape for b in graph.blocks(model)] == [(14, 14, 4), (12, 12, 8)]
    assert_halves_add_up(model, [0, 1], images(model))


def test_one_activation_layer_used_throughout():
    """Keras' own way to make a model from a tensor in the middle breaks on this."""
    relu = L.ReLU()
    image = x = keras.Input((16, 16, 3))
    for filters in (4, 8, 8):
        x = relu(L.Conv2D(filters, 3)(x))
    model = keras.Model(image, x)
    assert len(graph.blocks(model)) == 3
    assert_halves_add_up(model, range(3), images(model))


def test_no_cut_between_two_calls_of_one_layer():
    twice = L.Conv2D(4, 3, padding="same")
    image = keras.Input((16, 16, 4))
    x = L.Conv2D(4, 3, padding="same")(image)
    x = L.Conv2D(4, 3, padding="same")(twice(L.Conv2D(4, 1)(twice(x))))
    parts = graph.blocks(keras.Model(image, x))
    assert [len(b.layers) for b in parts] == [1, 2, 1]
    assert parts[1].parameters == (3 * 3 * 4 * 4 + 4) + (4 * 4 + 4)
    assert parts[1].multiply_adds == 16 * 16 * (2 * 3 * 3 * 4 * 4 + 4 * 4)


def test_no_cut_where_two_tensors_live_throughout():
    image = keras.Input((16, 16, 3))
    left = right = image
    for _ in range(3):
        left, right = L.Conv2D(4, 3, padding="same")(left), L.Conv2D(4, 3, padding="same")(right)
    model = keras.Model(image, [left, right])
    (only,) = graph.blocks(model)
    assert len(only.layers) == 6
    assert only.cache_bytes == 2 * 2 * 16 * 16 * 4
    prefix, suffix = graph.split(model, 1)
    assert suffix is None
    x = images(model)
    for got, expected in zip(prefix(x), model(x), strict=True):
        assert_near(got, expected)


def test_an_output_in_the_middle_stays_alive():
    image = keras.Input((16, 16, 3))
    middle = L.Conv2D(4, 3)(image)
    model = keras.Model(image, [middle, L.Conv2D(6, 3)(L.Conv2D(5, 3)(middle))])
    parts = graph.blocks(model)
    assert [len(b.layers) for b in parts] == [1, 2]
    prefix, suffix = graph.split(model, 1)
    x = images(model)
    for got, expected in zip(suffix(prefix(x)), model(x), strict=True):
        assert_near(got, expected)


def test_a_model_that_is_no_graph_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(TLError, match="not a functional"):
        graph.blocks(Own(name="own"))
    anywhere = keras.Input((None, None, 3))
    with pytest.raises(TLError, match="not fixed"):
        graph.blocks(keras.Model(anywhere, L.Conv2D(4, 3)(anywhere)))


def test_a_functional_model_with_a_call_of_its_own_is_one_operation():
    class Doubled(keras.Model):
        def __init__(self):
            x = keras.Input((16, 16, 4))
            super().__init__(x, L.Conv2D(4, 3, padding="same")(L.Conv2D(4, 1)(x)))

        def call(self, x, training=None):
            return 2.0 * super().call(x, training=training)

    image = keras.Input((16, 16, 3))
    model = keras.Model(image, L.Conv2D(5, 3)(Doubled()(L.Conv2D(4, 1)(image))))
    assert [len(b.layers) for b in graph.blocks(model)] == [1, 2, 1]
    assert graph.blocks(model)[1].multiply_adds == 16 * 16 * (4 * 4 + 3 * 3 * 4 * 4)
    assert_halves_add_up(model, range(3), images(model))


# --- Where the cuts fall -----------------------------------------------------------------------


@pytest.mark.others_long(2)
@pytest.mark.parametrize("name", EACH_KIND)
def test_blocks_of_known_networks(name):
    model = application(name)
    parts = graph.blocks(model)
    assert len(parts) == APPLICATIONS[name][1]
    assert len({b.name for b in parts}) == len(parts)
    assert all(b.layers and b.multiply_adds > 0 for b in parts)
    assert sum(b.parameters for b in parts) == model.count_params()
    paths = list(itertools.chain.from_iterable(b.layers for b in parts))
    assert paths == [layer.path for layer in graph.weighted_leaf_layers(model)]
    assert parts[-1].output_shape == model.output_shape[1:]


def test_efficientnet_lite0_has_a_stem_sixteen_mbconv_and_a_head():
    image = keras.Input((224, 224, 3))
    parts = graph.blocks(keras.Model(image, efficientnet_lite(image)))
    assert [len(b.layers) for b in parts] == [2, 4, *[6] * 15, 2]
    assert [b.output_shape[-1] for b in parts] == (
        [32, 16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320, 1280]
    )
    assert sum(b.multiply_adds for b in parts) / 1e6 == pytest.approx(384, abs=1)
    assert sum(b.parameters for b in parts) == 3_371_008 + 42_016  # BatchNorm moments
    half = frozen_shares(parts, nearest_cut(parts, 0.5))
    assert half.compute == pytest.approx(0.41, abs=0.01)
    assert half.parameters == pytest.approx(0.077, abs=0.005)


@pytest.mark.parametrize("gate", [False, True], ids=["plain", "gated"])
def test_one_block_for_each_mbconv(gate):
    parts = graph.blocks(tiny_mbnet(gate))
    assert [b.output_shape for b in parts] == [
        (16, 16, 8),
        (16, 16, 4),
        (8, 8, 6),
        (8, 8, 6),
        (8, 8, 10),
        (8, 8, 10),
        (4, 4, 12),
        (4, 4, 40),
    ]
    extra = 2 if gate else 0
    assert [len(b.layers) for b in parts] == [2, 4 + extra, *[6 + extra] * 5, 2]


def block_shapes(*made):
    image = x = keras.Input((16, 16, 3))
    for layer in made:
        x = layer(x)
    return [b.output_shape for b in graph.blocks(keras.Model(image, x))]


def test_what_finishes_a_layer_stays_with_it_and_padding_opens_the_next():
    assert block_shapes(
        L.Rescaling(1 / 255.0),
        L.ZeroPadding2D(1),
        L.Conv2D(4, 3),
        L.BatchNormalization(),
        L.ReLU(),
        L.Dropout(0.5),
        L.ZeroPadding2D(1),
        L.Conv2D(4, 3),
        L.UpSampling2D(2),
        L.LayerNormalization(),
        L.Conv2D(4, 3),
        L.ReLU(),
        L.ZeroPadding2D(1),
        L.MaxPooling2D(2),
    ) == [(16, 16, 4), (32, 32, 4), (16, 16, 4)]


def test_a_depthwise_layer_stays_with_the_pointwise_that_completes_it():
    assert block_shapes(
        L.Conv2D(4, 3),
        L.DepthwiseConv2D(3),
        L.ReLU(),
        L.Conv2D(6, 1),
        L.Conv2D(6, 3, groups=6),
        L.Conv2D(6, 1),
        L.DepthwiseConv2D(3),
    ) == [(14, 14, 4), (12, 12, 6), (10, 10, 6), (8, 8, 6)]


def test_a_tensor_is_an_expansion_only_if_wider_than_both_its_neighbours():
    one = [L.Conv2D(8, 1), L.Conv2D(16, 1), L.Conv2D(8, 1)]
    assert block_shapes(*one) == [(16, 16, 8), (16, 16, 8)]
    mild = [L.Conv2D(8, 1), L.Conv2D(11, 1), L.Conv2D(8, 1)]
    assert block_shapes(*mild) == [(16, 16, 8), (16, 16, 11), (16, 16, 8)]
    growing = [L.Conv2D(8, 1), L.Conv2D(16, 1), L.Conv2D(32, 1)]
    assert block_shapes(*growing) == [(16, 16, 8), (16, 16, 16), (16, 16, 32)]
    flat = [L.Conv2D(8, 1), L.Conv2D(8, 1), L.Flatten(), L.Dense(99), L.Dense(5)]
    assert block_shapes(*flat) == [(16, 16, 8), (16 * 16 * 8,), (99,), (5,)]


def test_names_come_from_what_the_layers_share():
    image = keras.Input((16, 16, 3))
    x = L.Conv2D(4, 3, name="stem_conv")(image)
    x = L.Conv2D(4, 3, padding="same")(x)
    y = L.Conv2D(4, 3, padding="same", name="stage1_unit1_a")(x)
    x = L.Add()([x, L.Conv2D(4, 3, padding="same", name="stage1_unit1_b")(y)])
    model = keras.Model(image, x)
    assert [b.name for b in graph.blocks(model)] == ["stem_conv", "block2", "stage1_unit1"]


# --- Multiply-adds -----------------------------------------------------------------------------


def test_multiply_adds_by_hand():
    image = keras.Input((16, 16, 3))
    x = L.Conv2D(8, 3, strides=2, padding="same")(image)
    x = L.BatchNormalization()(x)
    x = L.DepthwiseConv2D(5, padding="valid", depth_multiplier=2)(x)
    x = L.Conv2D(16, 1, groups=2)(x)
    x = L.SeparableConv2D(24, 3, padding="same")(x)
    x = L.Conv2DTranspose(32, 2, strides=2)(x)
    x = L.Flatten()(L.AveragePooling2D(4)(x))
    x = L.Dense(10)(x)
    assert sum(b.multiply_adds for b in graph.blocks(keras.Model(image, x))) == sum(
        (
            8 * 8 * 8 * (3 * 3 * 3),
            4 * 4 * 16 * (5 * 5),
            4 * 4 * 16 * (16 // 2),
            4 * 4 * (16 * 3 * 3 + 16 * 24),
            4 * 4 * 24 * (2 * 2 * 32),
            2 * 2 * 32 * 10,
        )
    )


def test_multiply_adds_of_attention_and_of_layers_inside_a_layer():
    class Mixer(L.Layer):
        def __init__(self):
            super().__init__()
            self.attention = L.MultiHeadAttention(2, key_dim=3, value_dim=5)
            self.widen = L.EinsumDense("btd,df->btf", output_shape=(None, 12))

        def call(self, x):
            return self.widen(self.attention(query=x, value=x))

    tokens = keras.Input((7, 8))
    model = keras.Model(tokens, Mixer()(L.Dense(8)(tokens)))
    first, mixer = graph.blocks(model)
    projections = 7 * 8 * 2 * (3 + 3 + 5) + 7 * 2 * 5 * 8
    assert first.multiply_adds == 7 * 8 * 8
    assert mixer.multiply_adds == projections + 7 * 7 * 2 * (3 + 5) + 7 * 8 * 12
    assert len(mixer.layers) == 5
    x = np.random.default_rng(0).normal(size=(2, 7, 8)).astype("f")
    prefix, suffix = graph.split(model, 1)
    assert_near(suffix(prefix(x)), model(x))


@pytest.mark.others_long(1)
@pytest.mark.parametrize(
    "name, giga, share",
    [("MobileNet", 0.568, 0.01), ("ResNet50", 3.86, 0.01), ("EfficientNetB0", 0.386, 0.01)],
)
def test_multiply_adds_at_224_are_those_of_the_papers(name, giga, share):
    """Class layer included, He 2015 counts 3.8 G, Howard 2017 569 M, Tan 2019 0.39 G."""
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(224, 224, 3)
    )
    total = sum(b.multiply_adds for b in graph.blocks(model))
    assert total / 1e9 == pytest.approx(giga, rel=share)


def test_cache_bytes_are_float16():
    for block in graph.blocks(tiny_mbnet()):
        assert block.cache_bytes == 2 * np.prod(block.output_shape)


# --- Shares and snapping -----------------------------------------------------------------------


def made(layers, sizes):
    return [
        Block(f"b{i}", tuple(f"l{i}_{j}" for j in range(n)), 10 * n, 100, (size,), size)
        for i, (n, size) in enumerate(zip(layers, sizes, strict=True))
    ]


def test_frozen_shares():
    blocks = made([1, 3, 4], [8, 8, 8])
    shares = frozen_shares(blocks, 2)
    assert (shares.layers, shares.parameters) == (0.5, 0.5)
    assert shares.compute == pytest.approx(2 / 3)
    assert frozen_shares(blocks, 0).layers == 0
    assert frozen_shares(blocks, 3).compute == 1
    with pytest.raises(ValueError, match=r"cut 4 is outside 0\.\.3"):
        frozen_shares(blocks, 4)


def test_snap_at_the_corners():
    blocks = made([1, 1, 98], [1, 1, 1])
    assert nearest_cut(blocks, 0) == 0
    assert nearest_cut(blocks, 1) == 3
    assert nearest_cut(blocks, 0.5) == 2
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(TLError, match="not between 0 and 1"):
            nearest_cut(blocks, wrong)


def test_snap_takes_the_nearest():
    blocks = made([10] * 10, [5] * 10)
    assert [nearest_cut(blocks, r / 100) for r in (14, 16, 50, 92)] == [1, 2, 5, 9]


def test_snap_takes_the_smaller_cache_among_the_near():
    # Shares 0.46, 0.49, 0.53, 0.60, 1: within 0.04 of the nearest (0.49, away by 0.01) are the
    # first three.
    blocks = made([46, 3, 4, 7, 40], [9, 8, 7, 1, 1])
    assert nearest_cut(blocks, 0.5) == 3
    assert nearest_cut(blocks, 0.56) == 4


def test_snap_breaks_ties_by_distance_then_by_freezing_less():
    assert nearest_cut(made([46, 3, 4, 47], [8, 8, 8, 8]), 0.5) == 2
    assert nearest_cut(made([48, 4, 48], [8, 8, 8]), 0.5) == 1


def test_snap_counts_no_cache_as_the_largest():
    assert nearest_cut(made([2, 98], [8, 8]), 0.01) == 1
    assert nearest_cut(made([50, 50], [8, 8]), 0.01) == 0


def test_a_block_is_written_as_the_call_that_makes_it():
    block = Block("stem", ("conv", "bn"), 928, 10838016, (112, 112, 32), 802816)
    assert repr(block) == "Block('stem', ('conv', 'bn'), 928, 10838016, (112, 112, 32), 802816)"
    assert eval(repr(block)) == block
