"""AdamW block by block against Keras' own, the rate over the steps, the average of the weights."""

import keras
import numpy as np
import pytest

from tiny import tiny_backbone
from tl_cli.engine.finetune.optimizer import Average, BlockwiseAdamW, Cosine, rate_factors

EXCLUDED = ["bias", "gamma", "beta"]


def network():
    """Return two dense layers with a normalisation between them, the same one every time."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(5, name="a"), keras.layers.LayerNormalization(name="n"),
              keras.layers.Dense(2, name="b")]  # fmt: skip
    return keras.Sequential([keras.Input((4,)), *layers])


def stepped(model, optimizer, steps=8):
    """Return the weights after some steps on random numbers."""
    optimizer.exclude_from_weight_decay(var_names=EXCLUDED)
    model.compile(optimizer, "mse", jit_compile=False)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        model.train_on_batch(rng.normal(size=(8, 4)), rng.normal(size=(8, 2)))
    return [np.array(w) for w in model.weights]


@pytest.mark.long
@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("rate", [0.05, "cosine"])
def test_with_every_factor_one_it_is_keras_adamw(rate, clip):
    made = []
    for kind, more in ((keras.optimizers.AdamW, {}), (BlockwiseAdamW, {"factors": {}})):
        schedule = Cosine(0.05, 8) if rate == "cosine" else rate
        made.append(
            stepped(network(), kind(schedule, weight_decay=0.3, global_clipnorm=clip, **more))
        )
    undecayed = stepped(network(), keras.optimizers.AdamW(rate if rate != "cosine" else
                        Cosine(0.05, 8), weight_decay=0.0, global_clipnorm=clip))  # fmt: skip
    for own, known, without in zip(made[1], made[0], undecayed, strict=True):
        np.testing.assert_allclose(own, known, atol=1e-6)
        if own.ndim == 2:
            assert np.abs(own - without).max() > 1e-3  # the decay is there to be seen


def test_a_block_of_factor_nought_stays_and_does_not_shrink():
    model = network()
    before = [np.array(w) for w in model.weights]
    factors = {w.path: 0.0 for w in model.get_layer("a").weights}
    after = stepped(model, BlockwiseAdamW(0.1, weight_decay=0.5, factors=factors))
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [False, False, True, True, True, True]


def test_a_smaller_factor_shrinks_as_much_less():
    model = network()
    before = [np.array(w) for w in model.weights]
    factors = {w.path: 0.5 for w in model.get_layer("a").weights}
    made = BlockwiseAdamW(0.1, weight_decay=0.5, factors=factors)
    made.build(model.trainable_variables)
    made.apply([keras.ops.zeros(w.shape) for w in model.trainable_variables])
    after = [np.array(w) for w in model.weights]
    np.testing.assert_allclose(after[0], before[0] * (1 - 0.1 * 0.5 * 0.5), rtol=1e-6)
    np.testing.assert_allclose(after[4], before[4] * (1 - 0.1 * 0.5), rtol=1e-6)


def test_earlier_blocks_have_smaller_rates():
    backbone = tiny_backbone()
    factors = rate_factors(backbone, 0.5)
    by_layer = {layer.name: factors[layer.weights[0].path] for layer in backbone.layers}
    assert by_layer["conv5"] == 0.5
    assert by_layer["conv0"] == 0.5**6
    assert rate_factors(backbone, 1.0) == {}


@pytest.mark.parametrize("steps", [1, 2, 15, 200])
def test_the_rate_is_that_of_keras_cosine_with_a_warm_up(steps):
    warm = max(1, round(0.1 * steps))
    known = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm), warmup_target=1e-3, warmup_steps=warm
    )
    rates = [float(Cosine(1e-3, steps)(i)) for i in range(steps + 2)]
    np.testing.assert_allclose(rates, [float(known(i)) for i in range(steps + 2)], atol=1e-9)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[0] == 0.0


def test_the_average_is_an_average():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    average = Average(0.5)
    average.set_model(model)
    values = []
    for value in (1.0, 2.0, 4.0):
        model.trainable_variables[0].assign([[value]])
        average.on_train_batch_end(0)
        values.append(float(average.values[0][0, 0]))
    m2, m3 = 3 / 12, 4 / 13  # (1 + t) / (10 + t) while it is below 0.5
    assert values == pytest.approx([1.0, m2 * 1 + (1 - m2) * 2, m3 * values[1] + (1 - m3) * 4])
