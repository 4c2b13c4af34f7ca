"""Auxiliary classifiers: where they stand, what they weigh, and that nothing of them stays."""

import keras
import numpy as np
import pytest

from tiny import coloured, tiny_backbone, tiny_context, tiny_head, tiny_settings
from tl_cli import catalog
from tl_cli.engine.finetune import auxiliary_heads, finetune
from tl_cli.engine.finetune.compile import compile_suffix
from tl_cli.engine.networks import classifier, loading
from tl_cli.engine.predict import probabilities
from tl_cli.errors import TLError
from tl_cli.results.progress import silent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 14, noise=110)


def built_with(number, frozen=0, weight=0.3):
    backbone = tiny_backbone()
    extra = auxiliary_heads.attach(backbone, 3, number, weight, frozen)
    built = classifier.build(backbone, ["a", "b", "c"], [6])
    rng = np.random.default_rng(0)
    built.set_head(rng.normal(0, 0.3, built.head.kernel.shape), np.zeros(3))
    return built, extra


def test_on_googlenet_two_stand_where_the_paper_put_them():
    backbone = loading.load(catalog.get("googlenet"), 224, weights=None)
    names = [backbone.blocks[cut - 1].name for cut in auxiliary_heads.places(backbone, 2)]
    assert names == ["inception4a", "inception4d"]
    extra = auxiliary_heads.attach(backbone, 1000, 2, 0.3)
    assert sum(head.count_params() for head in extra.heads) == 3_188_840 + 3_190_888


def test_they_stand_in_the_trained_part_only():
    backbone = tiny_backbone()
    assert auxiliary_heads.places(backbone, 5) == [1, 2, 3, 4, 5]
    assert auxiliary_heads.places(backbone, 1, frozen=4) == [5]
    with pytest.raises(TLError, match="2 auxiliary heads do not fit") as caught:
        auxiliary_heads.places(backbone, 2, frozen=4)
    assert caught.value.hint == "--aux-heads 1"
    with pytest.raises(TLError, match="0 places"):
        auxiliary_heads.places(backbone, 1, frozen=6)


@pytest.mark.long
@pytest.mark.parametrize(
    ("policy", "weighted", "sparse"),
    [("float32", False, False), ("float32", True, False), ("float32", True, True),
     ("mixed_bfloat16", False, True), ("mixed_float16", True, False)],
)  # fmt: skip
def test_the_loss_is_the_main_one_and_its_weight_times_the_others(policy, weighted, sparse):
    keras.config.set_dtype_policy(policy)
    try:
        built, extra = built_with(2)
        sgd = keras.optimizers.SGD(0.01)
        model = compile_suffix(built, 0, sgd, auxiliary=extra, sparse=sparse)
    finally:
        keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 255, (6, 32, 32, 3)), np.array([0, 1, 2, 0, 1, 2])
    w = np.array([1, 2, 0.5, 1, 1, 0.5]) if weighted else np.ones(6)
    labels = y if sparse else np.eye(3)[y]
    given = [w] * 3 if weighted else None
    total = model.evaluate(x, [labels] * 3, sample_weight=given, verbose=0, return_dict=True)
    scores = [np.array(s, "float64") for s in model.predict(x, verbose=0)]
    own = []
    for s in scores:
        s = s - s.max(1, keepdims=True)
        own.append(np.mean(w * (np.log(np.exp(s).sum(1)) - s[np.arange(6), y])))
    tolerance = 1e-6 if policy == "float32" else 1e-4
    assert total["loss"] == pytest.approx(own[0] + 0.3 * (own[1] + own[2]), rel=tolerance)
    assert np.isfinite(model.train_on_batch(x, [labels] * 3, sample_weight=given)).all()


def test_their_loss_reaches_what_lies_before_them_and_nothing_after():
    built, extra = built_with(1, weight=1.0)  # after block 3
    built.set_head(
        np.zeros(built.head.kernel.shape), np.zeros(3)
    )  # the main loss gives nothing back
    model = compile_suffix(built, 0, keras.optimizers.SGD(0.1), auxiliary=extra)
    before = {layer.name: np.array(layer.weights[0]) for layer in built.backbone.layers}
    x = np.random.default_rng(1).uniform(0, 255, (6, 32, 32, 3))
    model.train_on_batch(x, [np.eye(3)[[0, 1, 2, 0, 1, 2]]] * 2)
    moved = [
        layer.name for layer in built.backbone.layers
        if not np.array_equal(before[layer.name], layer.weights[0])
    ]  # fmt: skip
    assert moved == ["conv0", "conv1", "conv2"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("ratio", "options"),
    [pytest.param("0.3", {"balance": "weights", "unfreeze": "gradual"}, marks=pytest.mark.slow),
     ("full", {"augment": "strong", "ema": 0.9})],
    ids=str,
)  # fmt: skip
def test_in_tuning_their_accuracies_are_in_the_history(data, ratio, options):
    context = tiny_context(data, ratio, epochs=3, learning_rate=0.01, aux_heads=2, **options)
    tuned = finetune.finetune(context, tiny_settings(context), tiny_head(context), silent)
    assert {"val_accuracy_aux1", "val_accuracy_aux2"} <= set(tuned.history[1])
    assert all(0 <= row["val_accuracy_aux1"] <= 1 for row in tuned.history[1:])
    network = tuned.trained.classifier
    assert not any("aux" in w.path for w in network.model.weights)
    whole = probabilities(network, context.manifest.of("val"), silent)
    np.testing.assert_allclose(whole, tuned.trained.fitted, atol=0.02)


@pytest.mark.long
def test_a_saved_network_holds_nothing_of_them_and_comes_back(tmp_path, monkeypatch):
    import h5py

    from tl_cli.store import run_dir
    from tl_cli.store.run_dir import RunDir

    built, extra = built_with(2)
    model = compile_suffix(built, 0, keras.optimizers.SGD(0.01), auxiliary=extra)
    model.train_on_batch(np.zeros((3, 32, 32, 3)), [np.eye(3)] * 3)
    built.save(RunDir(tmp_path))
    names = []
    with h5py.File(tmp_path / run_dir.WEIGHTS) as file:
        file.visit(names.append)
    assert names
    assert not any("aux" in name for name in names)
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    whole = keras.saving.load_model(tmp_path / run_dir.EXPORTED)
    assert np.array(whole(x)) == pytest.approx(np.array(built.model(x, training=False)), abs=1e-6)
    monkeypatch.setattr(catalog, "get", lambda name: None)
    monkeypatch.setattr(loading, "load", lambda card, size, weights: tiny_backbone(seed=5))
    again, _ = classifier.load(RunDir(tmp_path))
    assert np.array(again.model(x)) == pytest.approx(
        np.array(built.model(x, training=False)), abs=1e-6
    )
