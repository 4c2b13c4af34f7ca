"""What is drawn depends on the seed alone, and not on what the process did before."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tiny import coloured, tiny_context, tiny_settings
from tl_cli import engine
from tl_cli.engine.finetune.state import EpochSeeds, copies


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 8)


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_auxiliary_heads_begin_alike_whatever_was_built_before(data):
    """A warm cache builds fewer networks than a cold one."""
    first = [tiny_settings(tiny_context(data, aux_heads=1)) for _ in range(2)]
    for _ in range(3):
        keras.layers.Dense(4).build((None, 4))  # draws a seed
    later = tiny_settings(tiny_context(data, aux_heads=1))
    weights = [copies(each.auxiliary.weights) for each in (*first, later)]
    assert equal(weights[0], weights[1])
    assert equal(weights[0], weights[2])
    other = copies(tiny_settings(tiny_context(data, aux_heads=1, seed=1)).auxiliary.weights)
    assert not equal(weights[0], other)


def test_a_dropout_of_an_epoch_is_that_of_seed_and_epoch():
    def dropped(seed, epoch, before=0):
        x = keras.Input((64,))
        model = keras.Model(x, keras.layers.Dropout(0.5)(keras.layers.Dropout(0.5)(x)))
        for _ in range(before):
            model(np.ones((2, 64)), training=True)
        callback = EpochSeeds(seed)
        callback.set_model(model)
        callback.on_epoch_begin(epoch)
        return [np.asarray(model(np.ones((2, 64)), training=True)) for _ in range(2)]

    assert equal(dropped(0, 3), dropped(0, 3, before=5))
    assert not equal(dropped(0, 3), dropped(0, 4))
    assert not equal(dropped(0, 3), dropped(1, 3))
    assert not np.array_equal(*dropped(0, 3))  # from step to step it is another one


@pytest.mark.parametrize(
    ("devices", "asked", "mode"),
    [([], True, False), (["GPU:0"], True, True), (["GPU:0"], False, False)],
)
def test_a_deterministic_gpu_is_had_by_asking(monkeypatch, devices, asked, mode):
    called = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _=None: devices)
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: called.append(True)
    )
    engine.prepare("float32", 0, deterministic=asked)
    assert bool(called) is mode
