"""`--backbone file:my.keras`: opened without executing anything, cut, trained, used again."""

import json
import zipfile

import keras
import numpy as np
import pytest

from test_cli import tl
from tiny import coloured
from tl_cli import catalog
from tl_cli.engine.networks import architecture, classifier, loading
from tl_cli.errors import TLError
from tl_cli.store.run_dir import RunDir

SMALL = ("--image-size", 32, "--batch-size", 8, "--epochs", 1, "--no-report", "-q", "--json")


def own_model(path, size=32, *, top="dense", rescale=False):
    """Save a small network with an answer layer; return it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs) if rescale else inputs
    for filters in (8, 12, 16):
        x = keras.layers.Conv2D(filters, 3, 2, "same")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x) if top == "flatten" else keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(7, name="answers")(keras.layers.Dropout(0.2)(x))
    model = keras.Model(inputs, x)
    model.save(path)
    return model


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("images") / "data", 10)


def test_a_model_of_ones_own_is_trained_and_used_where_its_file_is_gone(images, tmp_path):
    saved = tmp_path / "my.keras"
    own_model(saved)
    run = tmp_path / "run"
    done = tl("train", "--data", images, "--backbone", f"file:{saved}", "--preprocessing", "unit",
              "--freeze", "half", "--output", run, *SMALL)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    saved.unlink()
    again = tl("evaluate", run, "--data", images, "--json", "-q")
    assert again.exit_code == 0, again.stderr
    described = json.loads((run / "checkpoint.json").read_text())
    assert "answers" not in json.dumps(described["architecture"])
    built, _ = classifier.load(RunDir(run))
    plain = keras.models.load_model(run / "model.keras")
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    assert np.abs(plain(x, training=False) - built.model(x, training=False)).max() < 1e-5


def test_it_is_cut_at_its_last_map_and_says_what_the_model_says_there(tmp_path):
    for top in ("dense", "flatten"):
        path = tmp_path / f"{top}.keras"
        model = own_model(path, top=top)
        card = catalog.get(f"file:{path}", "included")
        backbone = loading.load(card, 32)
        before = keras.Model(model.inputs[0], model.layers[-4].output)
        x = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3)).astype("float32")
        assert backbone.blocks[-1].output_shape == (4, 4, 16)
        assert np.abs(backbone.model(x) - before(x)).max() < 1e-6


def test_it_takes_another_image_size_and_a_network_of_any_size(tmp_path):
    path = tmp_path / "my.keras"
    own_model(path)
    assert loading.load(catalog.get(f"file:{path}", "tf"), 64).blocks[-1].output_shape == (8, 8, 16)
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, 2, "same")(inputs)
    keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(x)).save(path)
    card = catalog.get(f"file:{path}", "tf")
    assert card.image_size == 224
    assert loading.load(card, 32).blocks[-1].output_shape == (16, 16, 8)


def test_preprocessing_is_told_from_the_model_or_asked_for(images, tmp_path):
    path = tmp_path / "my.keras"
    own_model(path, rescale=True)
    assert catalog.get(f"file:{path}").preprocessing == "included"
    own_model(path)
    done = tl("train", "--data", images, "--backbone", f"file:{path}", *SMALL)
    assert done.exit_code == 1 and not done.stdout
    assert "how" in done.stderr and "takes its images is written nowhere" in done.stderr
    assert "--preprocessing lite, tf, torch, caffe, unit, included" in " ".join(done.stderr.split())


def test_two_ways_of_preprocessing_do_not_share_features(tmp_path):
    path = tmp_path / "my.keras"
    own_model(path)
    digests = {loading.load(catalog.get(f"file:{path}", way), 32).digest for way in ("tf", "unit")}
    assert len(digests) == 2


def test_a_file_that_is_not_there_or_is_none_is_one_sentence(images, tmp_path):
    for path, said in ((tmp_path / "no.keras", "there is no file"), (tmp_path, "there is no file")):
        done = tl("train", "--data", images, "--backbone", f"file:{path}", *SMALL)
        assert done.exit_code == 1 and said in done.stderr
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(TLError, match="is no Keras model"):
        loading.load(catalog.get(f"file:{broken}", "tf"), 32)


def rewritten(path, change):
    """Write the model again with its description changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(parts["config.json"])
    change(description)
    parts["config.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def evil_layer(**change):
    def put(description):
        layer = next(x for x in description["config"]["layers"] if x["class_name"] == "ReLU")
        layer |= change

    return put


HOSTILE = {
    "a tool of Python": evil_layer(module="os", class_name="system"),
    "a tool of Keras": evil_layer(module="keras.utils", class_name="get_file"),
    "another package": evil_layer(module="my_package", class_name="Own"),
    "a class of nobody": evil_layer(module=None, class_name="Own", registered_name="x>Own"),
    "a function": evil_layer(
        module="builtins", class_name="function", config="eval", registered_name="function"
    ),
    "a model from elsewhere": evil_layer(module="keras.layers", class_name="TFSMLayer"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_layer_of_keras_is_not_opened(tmp_path, name):
    path = tmp_path / "my.keras"
    own_model(path)
    rewritten(path, HOSTILE[name])
    for weights in (loading.PRETRAINED, None):
        with pytest.raises(TLError, match="it is not opened"):
            loading.load(catalog.get(f"file:{path}", "tf"), 32, weights)


def test_a_lambda_is_never_executed(tmp_path, capsys):
    path = tmp_path / "my.keras"
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.Lambda(lambda y: [print("executed"), y][1], output_shape=(30, 30, 4))(x)
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(x)).save(path)
    capsys.readouterr()
    with pytest.raises(TLError, match="Lambda layer, which runs code of its own"):
        loading.load(catalog.get(f"file:{path}", "tf"), 32)
    assert "executed" not in capsys.readouterr().out


def test_a_checkpoint_from_somebody_else_is_held_to_the_same(tmp_path):
    path = tmp_path / "my.keras"
    own_model(path)
    backbone = loading.load(catalog.get(f"file:{path}", "tf"), 32)
    good = backbone.architecture
    assert loading.rebuilt(backbone.card, 32, good).blocks == backbone.blocks
    evil_layer(module="os", class_name="system")(good)
    for bad in (good, [], {}, {"class_name": "Functional", "module": "keras", "config": {}}, 3):
        with pytest.raises(TLError):
            loading.rebuilt(backbone.card, 32, bad)
    with pytest.raises(TLError, match="px"):
        loading.rebuilt(backbone.card, 64, architecture.of(backbone.model))
