"""What a network is fed is what keras.applications says it must be."""

import sys

import keras
import numpy as np
import pytest

from reference_images import reference_images
from tl_cli import catalog
from tl_cli.engine.networks import keras_source, loading

PLACES = {card.place: card for card in catalog.CARDS.values() if card.source == "keras"}


@pytest.mark.parametrize("place", PLACES)
def test_preprocessing_is_that_of_keras(place):
    module = sys.modules[getattr(keras.applications, place).__module__]
    expected = module.preprocess_input(reference_images(8).copy())
    images = np.asarray(loading.preprocessed(reference_images(8), PLACES[place].preprocessing))
    assert np.abs(images - np.asarray(expected)).max() < 1e-5 * 255


@pytest.mark.long
def test_an_efficientnet_built_anew_is_the_one_that_keras_loads_its_weights_into(
    tmp_path, monkeypatch
):
    """Keras adds a layer where it loads published weights, and a checkpoint is built without."""
    saved = str(tmp_path / "b0.weights.h5")
    keras.utils.set_random_seed(0)
    network = keras.applications.EfficientNetB0(False, None, input_shape=(32, 32, 3))
    network.save_weights(saved)
    module = sys.modules[keras.applications.EfficientNetB0.__module__]
    monkeypatch.setattr(module.file_utils, "get_file", lambda *_, **__: saved)
    card = catalog.get("efficientnet_b0")
    first = loading.load(card, 32)
    again = loading.load(card, 32, weights=None)
    again.model.set_weights(first.model.get_weights())
    images = reference_images(32)
    expected = first.model.predict_on_batch(images)
    assert np.ptp(expected) > 0
    assert np.array_equal(again.model.predict_on_batch(images), expected)
    assert [b.parameters for b in again.blocks] == [b.parameters for b in first.blocks]


def test_without_a_network_the_file_and_its_place_are_named(tmp_path, monkeypatch):
    def fail(name, origin, **_):
        raise Exception(f"URL fetch failure on {origin}: None -- Name or service not known")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    module = sys.modules[keras.applications.VGG16.__module__]
    monkeypatch.setattr(module.file_utils, "get_file", fail)
    with pytest.raises(keras_source.TLError) as caught:
        loading.load(catalog.get("vgg16"), 32)
    assert "could not be downloaded" in caught.value.message
    assert (
        f"put vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 into {tmp_path / 'models'}"
        in caught.value.hint
    )
