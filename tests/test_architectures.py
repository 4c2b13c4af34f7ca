"""Blocks and networks: shapes, and parameters counted by hand from the papers' tables."""

import keras
import numpy as np
import pytest

from tl_cli import catalog
from tl_cli.engine.networks import loading
from tl_cli.engine.networks.architectures import (
    GOOGLENET,
    NETWORKS,
    auxiliary_head,
    inception,
    inception_naive,
    residual,
)
from tl_cli.engine.networks.pooling import POOLINGS
from tl_cli.errors import TLError

# Szegedy et al. 2014, table 1: input channels, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj
TABLE = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def conv(kernel, entering, leaving, norm=False):
    """Weights and biases, or weights and the four vectors of BatchNorm."""
    return kernel * kernel * entering * leaving + (4 if norm else 1) * leaving


def module(c, one, r3, three, r5, five, pool):
    return (
        conv(1, c, one) + conv(1, c, r3) + conv(3, r3, three)
        + conv(1, c, r5) + conv(5, r5, five) + conv(1, c, pool)
    )  # fmt: skip


def naive_module(c, one, three, five):
    return conv(1, c, one) + conv(3, c, three) + conv(5, c, five)


def applied(build, shape, *arguments, **options):
    x = keras.Input(shape)
    return keras.Model(x, build(x, *arguments, **options))


@pytest.mark.parametrize("name", TABLE)
def test_each_inception_module_has_the_papers_parameters(name):
    c, one, _, three, _, five, pool = TABLE[name]
    model = applied(inception, (7, 9, c), GOOGLENET[name])
    assert model.output_shape == (None, 7, 9, one + three + five + pool)
    assert model.count_params() == module(*TABLE[name])
    naive = applied(inception_naive, (7, 9, c), GOOGLENET[name])
    assert naive.output_shape == (None, 7, 9, one + three + five + c)
    assert naive.count_params() == naive_module(c, one, three, five)


def test_the_chained_module_sees_each_output_in_turn():
    model = applied(inception_naive, (8, 8, 10), GOOGLENET["3a"], chained=True)
    assert model.output_shape == (None, 8, 8, 64 + 128 + 32 + 10)
    assert model.count_params() == conv(1, 10, 64) + conv(3, 64, 128) + conv(5, 128, 32)
    # a 5x5 on a 3x3 on a 1x1 reaches three pixels in each direction
    image = np.zeros((1, 15, 15, 10), "float32")
    image[0, 7, 7] = 1
    shown = applied(inception_naive, (15, 15, 10), GOOGLENET["3a"], chained=True)(image)
    moved = np.abs(np.array(shown) - np.array(shown)[:, :1, :1])[0, :, :, 192:224].max(-1) > 0
    assert np.flatnonzero(moved.any(0)).tolist() == list(range(4, 11))


@pytest.mark.parametrize("norm", [True, False])
def test_the_residual_block_has_the_papers_parameters(norm):
    same = applied(residual, (8, 8, 16), 16, norm=norm)
    assert same.count_params() == 2 * conv(3, 16, 16, norm)
    down = applied(residual, (8, 8, 16), 32, 2, norm=norm)
    assert down.output_shape == (None, 4, 4, 32)
    expected = conv(3, 16, 32, norm) + conv(3, 32, 32, norm) + conv(1, 16, 32, norm)
    assert down.count_params() == expected
    plain = applied(residual, (8, 8, 16), 32, 2, norm=norm, shortcut=False)
    assert plain.count_params() == expected - conv(1, 16, 32, norm)


@pytest.mark.parametrize("norm", [True, False])
def test_with_zero_convolutions_a_residual_block_is_the_identity(norm):
    model = applied(residual, (6, 6, 4), 4, norm=norm)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    x = np.random.default_rng(0).uniform(0, 1, (2, 6, 6, 4)).astype("float32")
    assert np.array_equal(model(x), x)
    plain = applied(residual, (6, 6, 4), 4, norm=norm, shortcut=False)
    plain.set_weights(model.get_weights())
    assert not np.array(plain(x)).any()


@pytest.mark.parametrize(("channels", "count"), [(512, 3_188_840), (528, 3_190_888)])
def test_the_auxiliary_head_has_the_papers_parameters(channels, count):
    model = applied(auxiliary_head, (14, 14, channels), 1000)
    by_hand = conv(1, channels, 128) + conv(1, 4 * 4 * 128, 1024) + conv(1, 1024, 1000)
    assert model.count_params() == by_hand == count


@pytest.mark.parametrize(("side", "left"), [(1, 1), (2, 1), (5, 1), (8, 2), (28, 4), (112, 4)])
def test_the_auxiliary_head_adapts_to_the_map(side, left):
    model = applied(auxiliary_head, (side, side, 8), 3)
    assert model.get_layer("auxiliary_flat").output.shape[1] == left * left * 128
    assert model.output_shape == (None, 3)


def resnet_by_hand(repeats, shortcut=True):
    total, entering = conv(7, 3, 64, True), 64
    for filters, count in zip((64, 128, 256, 512), repeats, strict=True):
        total += conv(3, entering, filters, True) + (2 * count - 1) * conv(
            3, filters, filters, True
        )
        if shortcut and entering != filters:
            total += conv(1, entering, filters, True)
        entering = filters
    return total


def by_hand(name):
    """Return the parameters of a network without its classifier."""
    if name.startswith("googlenet"):
        total = conv(7, 3, 64) + conv(1, 64, 64) + conv(3, 64, 192)
        if name == "googlenet":
            return total + sum(module(*row) for row in TABLE.values())
        c = 192
        for _, one, _, three, _, five, _ in TABLE.values():
            total += naive_module(c, one, three, five)
            c += one + three + five
        return total
    return resnet_by_hand((2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3), name != "plain34")


def test_googlenet_comes_to_the_numbers_that_are_known():
    classifier = conv(1, 1024, 1000)
    assert by_hand("googlenet") + classifier == 6_998_552
    assert by_hand("googlenet") + classifier + 3_188_840 + 3_190_888 == 13_378_280


def test_resnets_come_to_the_numbers_that_are_known():
    """Those published for PyTorch's count no moments: two vectors of each BatchNorm."""
    channels = {"resnet18": 4800, "resnet34": 8512}
    known = {"resnet18": 11_689_512, "resnet34": 21_797_672}
    for name, count in known.items():
        assert by_hand(name) - 2 * channels[name] + conv(1, 512, 1000) == count


@pytest.mark.parametrize("name", NETWORKS)
def test_a_card_has_the_parameters_counted_by_hand(name):
    assert sum(block.parameters for block in catalog.get(name).blocks) == by_hand(name)


@pytest.mark.others_long(2)
@pytest.mark.parametrize("name", ["googlenet", "resnet18", "plain34"])
def test_networks_of_small_images(name):
    backbone = loading.load(catalog.get(name), 32, weights=None)
    assert backbone.blocks[-1].output_shape[:2] == (2, 2)
    first = 3 * 64 * (49 - 9)  # a 3x3 stem in place of the 7x7
    assert backbone.model.count_params() == by_hand(name) - first
    card = catalog.get(name)
    assert [b.name for b in backbone.blocks] == [b.name for b in card.blocks]


@pytest.mark.long
def test_the_gradient_reaches_the_first_layer():
    import tensorflow as tf

    for name in ("googlenet", "resnet18"):
        model = loading.load(catalog.get(name), 32, weights=None).model
        x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(model(x, training=True)))
        [gradient] = tape.gradient(loss, model.trainable_variables[:1])
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


def test_no_pretrained_weights_is_one_sentence():
    with pytest.raises(TLError, match="no pretrained weights of resnet18") as caught:
        loading.load(catalog.get("resnet18"), 32)
    assert "--from-scratch" in caught.value.hint


@pytest.mark.long
def test_weights_from_a_file(tmp_path):
    path = str(tmp_path / "own.weights.h5")
    one = loading.load(catalog.get("resnet18"), 32, weights=None)
    one.model.save_weights(path)
    assert loading.load(catalog.get("resnet18"), 32, weights=path).digest == one.digest


@pytest.mark.parametrize("kind", POOLINGS)
def test_pooling_by_hand(kind):
    x = np.random.default_rng(0).uniform(0, 2, (3, 4, 5, 6)).astype("float32")
    average, maximum = x.mean((1, 2)), x.max((1, 2))
    expected = {
        "avg": average,
        "max": maximum,
        "avgstd": np.concatenate([average, np.sqrt(x.var((1, 2)) + 1e-6)], 1),
        "avgmax": np.concatenate([average, maximum], 1),
        "flatten": x.reshape(3, -1),
        "gem": (x**3).mean((1, 2)) ** (1 / 3),
    }[kind]
    model = applied(POOLINGS[kind].apply, (4, 5, 6))
    assert np.array(model(x)) == pytest.approx(expected, rel=1e-5)
    assert expected.shape[1] == POOLINGS[kind].width((4, 5, 6))
    assert not model.weights
