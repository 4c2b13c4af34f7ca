"""What a pass over the images means: the map from distance to similarity, and the figures."""

import json

import pytest

from tl_cli import catalog
from tl_cli.plan.evidence import Evidence, Probe, mean_anchors, similarity

ANCHORS = {64: (0.2, 0.5), 128: (0.1, 0.4)}


def evidence(**changed) -> Evidence:
    """A data set that was looked at: 90 % right with the last layer, 92 % with several joined."""
    known = {
        "images": 400, "distance": 0.2, "thirds": (0.1, 0.2, 0.3), "similarity": 0.55,
        "probes": (Probe("early", 0.5, 0.02), Probe("late", 0.85, 0.02), Probe("last", 0.9, 0.02)),
        "joined": Probe("joined", 0.92, 0.02), "pixels": Probe("pixels", 0.4, 0.02),
    }  # fmt: skip
    return Evidence(**known | changed)


def test_the_anchors_are_where_they_are_said_to_be():
    assert similarity(0.1, ANCHORS, 128) == pytest.approx(0.85)
    assert similarity(0.4, ANCHORS, 128) == pytest.approx(0.30)


def test_a_greater_distance_is_never_more_similar():
    found = [similarity(d / 100, ANCHORS, 128) for d in range(80)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 1.0
    assert 0 < found[-1] < 0.3


@pytest.mark.parametrize(
    ("size", "photos"), [(32, 0.2), (64, 0.2), (90.51, 0.15), (128, 0.1), (224, 0.1)]
)
def test_between_calibrated_sizes_the_anchors_are_interpolated(size, photos):
    assert similarity(photos, ANCHORS, size) == pytest.approx(0.85, abs=1e-3)


def test_a_network_that_was_never_measured_gets_the_mean_of_those_that_were():
    measured = [ANCHORS, {128: (0.3, 0.6), 224: (0.1, 0.2)}]
    found = mean_anchors(measured)
    assert found[128] == (pytest.approx(0.2), pytest.approx(0.5))
    assert (found[64], found[224]) == (ANCHORS[64], (0.1, 0.2))  # where one was measured
    assert catalog.anchors("efficientnet_lite0") == catalog.ANCHORS["efficientnet_lite0"]
    low, high = catalog.anchors("resnet50")[128]
    photos, letters = zip(*(by_size[128] for by_size in catalog.ANCHORS.values()), strict=True)
    assert min(photos) <= low <= max(photos) and min(letters) <= high <= max(letters)


def test_every_row_of_the_catalogue_puts_photos_before_letters_and_names_a_backbone():
    assert set(catalog.ANCHORS) <= set(catalog.CARDS)
    for by_size in catalog.ANCHORS.values():
        assert all(0 < photos < letters for photos, letters in by_size.values())


def test_the_issue_s_kinds_of_images_are_told_apart():
    """D at 128 px with EfficientNet-Lite0, measured on sets that are not in the repository."""
    anchors = catalog.ANCHORS["efficientnet_lite0"]
    photos = [similarity(d, anchors, 128) for d in (0.045, 0.067, 0.078, 0.090, 0.092, 0.102)]
    between = [similarity(d, anchors, 128) for d in (0.197, 0.213, 0.219, 0.252, 0.267)]
    drawn = [similarity(d, anchors, 128) for d in (0.399, 0.409)]
    assert min(photos) >= 0.60
    assert all(0.40 <= s < 0.65 for s in between)
    assert max(drawn) < 0.40


def test_the_figures_that_follow():
    seen = evidence()
    assert seen.head_error == pytest.approx(0.08)
    assert seen.joined_gain == pytest.approx(0.02)
    assert seen.depth_margin == pytest.approx(-0.05)


def test_the_json_has_plain_types():
    told = json.loads(json.dumps(evidence().to_json()))
    assert told["probes"][-1] == {"tap": "last", "accuracy": 0.9, "stderr": 0.02}
    assert told["joined_gain"] == pytest.approx(0.02)
