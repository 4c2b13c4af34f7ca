"""KerasHub's networks: blocks of transformer layers, local presets, one sentence for errors."""

import itertools
import json
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

import presets
from test_cli import tl
from tiny import coloured
from tl_cli import catalog, engine
from tl_cli.engine.networks import classifier, graph, loading
from tl_cli.errors import TLError
from tl_cli.store.run_dir import RunDir

QUICK = "vgg"  # is built the soonest
SMALL = ("--image-size", 32, "--batch-size", 8, "--epochs", 1, "--no-report", "-q", "--json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return what gives the preset of a family, made once."""
    root, made = tmp_path_factory.mktemp("presets"), {}
    return lambda family: made.setdefault(family, presets.saved(root / family, family))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever opens a socket fails the test."""

    def refuse(*_, **__):
        raise AssertionError("a local preset touched the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def pictures(size=32):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (2, size, size, 3)).astype("float32")


@pytest.mark.others_long(1)
@pytest.mark.parametrize("family", dict.fromkeys((QUICK, *presets.FAMILIES)))
def test_it_says_what_kerashub_says(folder, family):
    import keras_hub

    backbone = loading.load(catalog.get(f"hub:{folder(family)}"), 32)
    network = keras_hub.models.Backbone.from_preset(str(folder(family)))
    inputs = next(iter(network.input)) if isinstance(network.input, dict) else None
    scaled = pictures() / 127.5 - 1
    expected = np.asarray(network({inputs: scaled} if inputs else scaled))
    features = np.asarray(backbone.model(pictures()))
    if family not in presets.TRANSFORMERS:
        assert np.abs(features - expected).max() < 1e-5
        return
    assert len(backbone.blocks) == presets.LAYERS + 1
    side = features.shape[1]
    patches, token = np.split(features, 2, axis=-1)
    before = expected.shape[1] - side * side
    assert np.abs(patches.reshape(2, side * side, -1) - expected[:, before:]).max() < 1e-4
    assert np.abs(token - expected[:, None, None, 0]).max() < 1e-4


@pytest.mark.long
@pytest.mark.parametrize("family", ["vit", "dinov3"])
def test_an_architecture_is_built_again_without_the_preset(folder, family):
    backbone = loading.load(catalog.get(f"hub:{folder(family)}"), 32)
    again = loading.rebuilt(backbone.card, 32, json.loads(json.dumps(backbone.architecture)))
    again.model.set_weights(backbone.model.get_weights())
    assert np.array_equal(again.model(pictures()), backbone.model(pictures()))
    shapes = [(b.name, b.parameters, b.output_shape) for b in again.blocks]
    assert shapes == [(b.name, b.parameters, b.output_shape) for b in backbone.blocks]
    assert again.digest == backbone.digest


@pytest.mark.long
@pytest.mark.parametrize(
    "policy", [pytest.param("float32", marks=pytest.mark.slow), "mixed_bfloat16"]
)
def test_what_is_frozen_does_not_move_by_a_bit(folder, policy):
    engine.prepare(policy, 0)
    try:
        backbone = loading.load(catalog.get(f"hub:{folder('dinov2')}"), 32)
        built = classifier.build(backbone, ("a", "b"), backbone.stage_ends)
        before = [weight.numpy() for weight in backbone.model.weights]
        built.freeze_up_to(2)
        built.set_head(np.ones(built.head.kernel.shape) * [[0.1, -0.1]], np.zeros(2))
        built.model.compile("adam", "categorical_crossentropy", jit_compile=False)
        built.model.train_on_batch(pictures(), np.eye(2))
    finally:
        engine.prepare("float32", 0)
    # those of a layer with layers inside, a table of positions, are no leaf's
    nodes = itertools.chain(*graph.calls(backbone.model)[:2])
    frozen = {w.path for node in nodes for w in getattr(node.operation, "weights", ())}
    pairs = zip(backbone.model.weights, before, strict=True)
    moved = {weight.path for weight, value in pairs if not np.array_equal(weight.numpy(), value)}
    assert any("position" in path for path in frozen)
    assert moved and not moved & frozen
    assert {w.dtype for w in backbone.model.weights} == {"float32"}


@pytest.mark.long
def test_a_run_from_a_preset_is_used_where_the_preset_is_gone(folder, tmp_path):
    images, run = coloured(tmp_path / "data", 10), tmp_path / "run"
    preset = presets.saved(tmp_path / "vit", "vit")
    done = tl("train", "--data", images, "--backbone", f"hub:{preset}", "--freeze", "half",
              "--output", run, *SMALL)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    (preset / "model.weights.h5").unlink()
    (preset / "config.json").unlink()
    again = tl("evaluate", run, "--data", images, "--json", "-q")
    assert again.exit_code == 0, again.stderr
    shown = tl("explain", run, images, "--output", tmp_path / "maps", "-q")
    assert shown.exit_code == 0, shown.stderr
    np.save(tmp_path / "x.npy", pictures())
    script = (
        "import sys; sys.modules['tl_cli'] = None\n"
        "import keras, numpy\n"
        "model = keras.models.load_model('run/model.keras')\n"
        "numpy.save('y.npy', model(numpy.load('x.npy'), training=False))\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    built, _ = classifier.load(RunDir(run))
    gap = np.load(tmp_path / "y.npy") - built.model(pictures(), training=False)
    assert np.abs(gap).max() < 1e-5


@pytest.mark.long
def test_a_table_of_positions_is_of_one_size_or_interpolated(folder):
    card = catalog.get(f"hub:{folder('vit')}")
    assert catalog.fitting_size(card, 1) == card.image_size == 32
    with pytest.raises(TLError) as caught:
        loading.load(card, 64)
    assert caught.value.hint == "--image-size 32"
    assert loading.load(catalog.get(f"hub:{folder('dinov2')}"), 64).blocks[-1].output_shape[0] == 8


def test_without_a_converter_preprocessing_is_asked_for(tmp_path):
    preset = presets.saved(tmp_path / "vgg", "vgg", scale=None)
    with pytest.raises(TLError) as caught:
        loading.load(catalog.get(f"hub:{preset}"), 32)
    assert "--preprocessing lite, tf" in caught.value.hint
    assert loading.load(catalog.get(f"hub:{preset}", "tf"), 32).blocks


def test_a_folder_that_lacks_a_file_says_which(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TLError, match=r"holds no model\.weights\.h5") as caught:
        loading.load(catalog.get(f"hub:{tmp_path}"), 32)
    assert caught.value.hint == "put config.json and model.weights.h5 or model.safetensors there"


def test_what_takes_no_images_is_refused(tmp_path):
    import keras_hub

    model = keras_hub.models.BertBackbone(50, 1, 2, 8, 16, max_sequence_length=4)
    model.save_to_preset(str(tmp_path / "bert"))
    with pytest.raises(TLError, match="BertBackbone, no image backbone"):
        loading.load(catalog.get(f"hub:{tmp_path / 'bert'}"), 32)


@pytest.mark.parametrize("name", ["hub:dinov2_small", "hf://keras/vit", "kaggle://a/b/keras/c"])
def test_without_a_network_it_is_one_sentence(name, monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("HTTPSConnectionPool: Max retries exceeded")

    def unknown(*_, **__):
        raise socket.gaierror("Name or service not known")

    from keras_hub.src.utils import preset_utils

    monkeypatch.setattr(preset_utils, "get_file", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TLError) as caught:
        loading.load(catalog.get(name), 224)
    assert caught.value.message == f"{name} could not be downloaded (no network?)"
    assert f"tl backbones --fetch {name} --to DIR" in caught.value.hint


def test_without_kerashub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(TLError) as caught:
        loading.load(catalog.get("hub:dinov2_small"), 224)
    assert caught.value.hint == "pip install 'tl-cli[hub]'"
    keras.backend.clear_session()
