"""The cards agree with the networks they describe."""

import keras
import pytest

from tl_cli import catalog
from tl_cli.engine.networks import loading
from tl_cli.errors import TLError


@pytest.mark.others_long(1)
@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2", "mobilenet_025"])
def test_the_card_is_what_the_network_is(name):
    card = catalog.get(name)
    backbone = loading.load(card, card.image_size, weights=None)
    assert backbone.blocks == card.blocks


@pytest.mark.slow
@pytest.mark.parametrize("name", catalog.CARDS)
def test_every_card_is_what_its_network_is(name):
    def figures(blocks):  # a layer that Keras names by counting has another name in every process
        return [(len(b.layers), b.parameters, b.multiply_adds, b.output_shape) for b in blocks]

    card = catalog.get(name)
    found = loading.load(card, card.image_size, weights=None).blocks
    assert figures(found) == figures(card.blocks)


def test_every_card_has_a_source_and_a_preprocessing():
    for card in catalog.CARDS.values():
        assert card.source in loading.SOURCES
        assert card.preprocessing in catalog.PREPROCESSING


def test_every_card_says_what_it_is_and_where_its_accuracy_stands():
    for card in catalog.CARDS.values():
        assert card.blocks[-1].output_shape[-1] > 0
        assert card.parameters == pytest.approx(card.megabytes * 250_000)
        assert card.licence and card.multiply_adds > 0
        assert (card.top1 is not None) == bool(card.top1_from) == bool(card.pretrained_on)


def test_sizes_and_computation_are_as_published():
    """Parameters without the top, and multiply-adds, by the papers and keras.io."""
    published = {  # millions of parameters with the 1000-class top, G of multiply-adds
        "resnet50": (25.6, 3.9), "vgg16": (138.4, 15.5), "densenet121": (8.1, 2.8),
        "efficientnet_b0": (5.3, 0.39), "convnext_tiny": (28.6, 4.5), "xception": (22.9, 8.4),
        "mobilenet_v3_small": (2.5, 0.057), "efficientnetv2_s": (21.6, 8.4),
    }  # fmt: skip
    top = {"vgg16": 123.6, "mobilenet_v3_small": 1.6}  # its dense layers; else one of them
    for name, (millions, adds) in published.items():
        card = catalog.get(name)
        one = 1000 * (card.blocks[-1].output_shape[-1] + 1) / 1e6
        assert card.parameters / 1e6 + top.get(name, one) == pytest.approx(millions, rel=0.02)
        assert card.multiply_adds / 1e9 == pytest.approx(adds, rel=0.08)


def test_an_unknown_backbone_is_answered_with_the_nearest():
    with pytest.raises(TLError, match="did you mean 'mobilenet_v2'"):
        catalog.get("mobilenetv2")


def test_an_image_that_is_too_small_is_answered_with_the_smallest():
    with pytest.raises(TLError) as caught:
        loading.load(catalog.get("mobilenet_025"), 16, weights=None)
    assert "32 px" in caught.value.hint


@pytest.mark.long
def test_weights_that_do_not_fit_are_one_sentence(tmp_path):
    path = tmp_path / "x.weights.h5"
    keras.applications.MobileNet(
        (32, 32, 3), alpha=0.25, include_top=False, weights=None
    ).save_weights(path)
    again = loading.load(catalog.get("mobilenet_025"), 32, weights=str(path))
    assert again.card.name == "mobilenet_025"
    with pytest.raises(TLError, match="does not fit"):
        loading.load(catalog.get("efficientnet_lite0"), 32, weights=str(path))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TLError, match="damaged"):
        loading.load(catalog.get("mobilenet_025"), 32, weights=str(path))
    with pytest.raises(TLError, match="not found"):
        loading.load(catalog.get("mobilenet_025"), 32, weights=str(tmp_path / "no.weights.h5"))


@pytest.mark.parametrize(
    ("side", "size"), [(1, 32), (8, 32), (28, 128), (40, 192), (70, 224), (5000, 224)]
)
def test_small_images_get_a_smaller_size(side, size):
    assert catalog.fitting_size(catalog.get("efficientnet_lite0"), side) == size


def test_the_least_side_is_where_images_begin_to_fit():
    card = catalog.get("efficientnet_lite0")
    side = catalog.least_side(card)
    assert catalog.fitting_size(card, side) == 224 > catalog.fitting_size(card, side - 1)
