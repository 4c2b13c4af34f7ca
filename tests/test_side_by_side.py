"""`--backbone a+b`: two networks side by side, one head on what both see."""

import json

import keras
import numpy as np
import pytest

from test_cli import tl
from test_own_models import SMALL
from tiny import coloured
from tl_cli import catalog, config
from tl_cli.engine.networks import classifier, loading
from tl_cli.errors import TLError
from tl_cli.store.run_dir import RunDir

BOTH = "small+smaller"
REAL = "efficientnet_lite0+efficientnet_lite1"


def expected_width(both: str) -> int:
    """Return how many averages and deviations the ends of the stages of both networks have."""
    parts = [loading.load(each, 32, None) for each in catalog.side_by_side(catalog.get(both))]
    widths = [part.blocks[end - 1].output_shape[-1] for part in parts for end in part.stage_ends]
    assert len(widths) > len(parts)
    return 2 * sum(widths)


def test_two_networks_are_one_block_that_gives_what_both_see():
    built = loading.load(catalog.get(BOTH), 32)
    [joined] = built.blocks
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    seen = np.asarray(built.model(x, training=False))
    assert (seen.shape[-1],) == joined.output_shape == (expected_width(BOTH),)
    assert np.isfinite(seen).all() and not np.allclose(seen[0], seen[1])


@pytest.mark.parametrize(
    "both", [pytest.param(BOTH, marks=pytest.mark.long), pytest.param(REAL, marks=pytest.mark.slow)]
)
def test_a_head_on_two_networks_is_saved_and_comes_back(tmp_path, both):
    images = coloured(tmp_path / "data", 10)
    run = tmp_path / "run"
    done = tl("train", images, "--backbone", both, "--output", run, *SMALL)
    assert done.exit_code == 0, done.stderr
    plan = json.loads(done.stdout)["plan"]
    assert (plan["strategy"], plan["policy"]) == ("head", "side by side")
    built, _ = classifier.load(RunDir(run))
    [joined] = built.backbone.blocks
    assert joined.output_shape == (expected_width(both),)
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    plain = keras.models.load_model(run / "model.keras")
    assert np.abs(plain(x, training=False) - built.model(x, training=False)).max() < 1e-5
    image = next(images.rglob("*.png"))
    assert tl("predict", run, image, "-q").exit_code == 0
    refused = tl("explain", run, image)
    assert refused.exit_code == 1
    assert "has no places that a map could show" in refused.stderr
    assert "a run on one network can be explained" in refused.stderr


def test_its_card_is_what_holds_for_both():
    card = catalog.get("mobilenet_025 + efficientnet_lite2")
    assert card.name == "mobilenet_025+efficientnet_lite2"
    assert card.image_size == 260
    assert [each.name for each in catalog.side_by_side(card)] == card.name.split("+")
    with pytest.raises(TLError, match="names a network twice"):
        catalog.get("mobilenet_025+mobilenet_025")
    with pytest.raises(TLError, match="no pretrained weights"):
        catalog.require_pretrained(catalog.get("mobilenet_025+resnet18"))


@pytest.mark.parametrize(
    "other",
    [{"freeze": "half"}, {"effort": "thorough"}, {"weights": "a.h5"}, {"from_scratch": True}],
)
def test_what_would_train_the_networks_is_told(other):
    with pytest.raises(TLError, match=f"the head alone is trained: leave out {next(iter(other))}"):
        config.load(flags={"data": "d", "backbone": BOTH, **other})
    assert config.load(flags={"data": "d", "backbone": BOTH}).freeze == "head"
