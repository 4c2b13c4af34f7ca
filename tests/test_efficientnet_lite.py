"""The conversion of the real weights, pinned to numbers from PyTorch and to pictures."""

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

REFERENCE = Path(__file__).parent / "data" / "efficientnet_lite0_reference.json"
MILITARY_UNIFORM = 652


@pytest.fixture(scope="module")
def tensors():
    return pth_reader.read(loading.package_file(catalog.get("efficientnet_lite0")))


def classifier(size: int, tensors) -> keras.Model:
    inputs = keras.Input((size, size, 3))
    scaled = keras.layers.Rescaling(*catalog.PREPROCESSING["lite"])(inputs)
    model = keras.Model(inputs, efficientnet_lite(scaled, classes=1000))
    convert(model, tensors)
    return model


def test_the_class_scores_are_those_of_pytorch(tensors):
    reference = json.loads(REFERENCE.read_text())
    scores = classifier(96, tensors).predict_on_batch(reference_images())
    assert np.abs(scores[:, :: reference["every"]] - reference["scores"]).max() < 1e-4


def test_the_classifier_is_right_on_a_picture_whose_answer_is_certain(tensors):
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        picture = Image.open(file).convert("RGB")
    square = picture.crop((0, 0, picture.width, picture.width)).resize((224, 224))
    scores = classifier(224, tensors).predict_on_batch(np.asarray(square, "float32")[None])
    assert scores[0].argmax() == MILITARY_UNIFORM


def test_parameters_are_as_published(tensors):
    model = classifier(96, tensors)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 4_652_008


def test_the_backbone_is_the_classifier_without_its_top(tensors):
    backbone = loading.load(catalog.get("efficientnet_lite0"), 96)
    whole = classifier(96, tensors)
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
