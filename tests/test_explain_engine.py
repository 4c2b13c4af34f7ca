"""Grad-CAM: against a case with a known answer, against the arithmetic, at every cut."""

import itertools

import keras
import numpy as np
import pytest
from PIL import Image

from tiny import coloured, split_of, tiny_backbone, tiny_context, tiny_head
from tl_cli import catalog, config
from tl_cli.engine import explain
from tl_cli.engine.context import prepare
from tl_cli.engine.head import choice
from tl_cli.engine.networks import classifier, loading
from tl_cli.errors import TLError

SIZE = 32


def classified(root, head: str):
    """A classifier of three colours with a solved head, nothing tuned."""
    context = tiny_context(coloured(root, noise=60), "head", head=head)
    return choice.attach(context, tiny_head(context))


@pytest.fixture(scope="module", params=["last", "multi"])
def built(request, tmp_path_factory):
    return classified(tmp_path_factory.mktemp("colours") / "data", request.param)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (count, SIZE, SIZE, 3)).astype("float32")


# -- a known answer: two patterns side by side, as a pretrained network sees them -----------------

SIDE = 128
PATTERNS = ("checks", "rings", "stripes")


def pattern(name: str, seed: int) -> np.ndarray:
    """Return float32 [128, 128, 3]: a pattern in two random colours, of random width and place."""
    draw = np.random.default_rng(seed)
    step, (dx, dy) = draw.uniform(8, 14), draw.uniform(0, 28, 2)
    y, x = np.mgrid[:SIDE, :SIDE] + np.array([dy, dx])[:, None, None]
    level = {
        "checks": (x // step + y // step) % 2,
        "rings": np.hypot(x - 80, y - 80) // step % 2,
        "stripes": (x + y) // step % 2,
    }[name]
    one, other = draw.uniform(0, 255, (2, 3))
    return (level[..., None] * one + (1 - level[..., None]) * other).astype("float32")


@pytest.fixture(scope="module", params=["last", "multi"])
def patterned(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("patterns")
    for number, name in enumerate(PATTERNS):
        (root / name).mkdir()
        for i in range(16):
            pixels = pattern(name, 100 * number + i).astype("uint8")
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    settings = config.RunConfig(data=str(root), freeze="head", head=request.param, image_size=SIDE)
    context = prepare(settings, split_of(root))
    return choice.attach(context, tiny_head(context))


@pytest.mark.long
def test_the_evidence_for_each_of_two_classes_lies_on_its_own_half(patterned):
    explainer, half = explain.opened(patterned), SIDE // 2
    shares = []
    for seed, (left, right) in enumerate(itertools.permutations(PATTERNS, 2)):
        parts = pattern(left, 1000 + seed)[:, :half], pattern(right, 2000 + seed)[:, :half]
        numbers = [patterned.classes.index(name) for name in (left, right)]
        own, other = explainer.maps(np.repeat([np.hstack(parts)], 2, axis=0), numbers)
        middle = own.shape[1] // 2
        shares += [own[:, :middle].sum() / own.sum(), other[:, middle:].sum() / other.sum()]
    assert np.mean(shares) > 0.85, shares
    assert np.min(shares) > 0.5, shares


# -- the arithmetic -------------------------------------------------------------------------------


def test_at_the_last_block_of_a_plain_head_it_is_the_weights_of_the_class(tmp_path):
    built = classified(tmp_path / "data", "last")
    explainer = explain.opened(built, at=built.backbone.blocks[-1].name)
    images = noise(3)
    seen = np.asarray(built.backbone.model(images, training=False))
    weights = built.head.get_weights()[0][:, 1]
    expected = seen @ weights
    expected = np.maximum(expected - expected.mean(axis=(1, 2), keepdims=True), 0)
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-12)
    assert explainer.maps(images, [1, 1, 1]) == pytest.approx(expected, abs=1e-4)


def test_every_cut_can_be_looked_at(built):
    image = noise(1)
    for number, block in enumerate(built.backbone.blocks, 1):
        [heat] = explain.opened(built, at=str(number)).maps(image, [0])
        assert heat.shape == block.output_shape[:2]
        assert 0 <= heat.min() <= heat.max() <= 1


def test_its_probabilities_are_the_classifiers(built):
    images = noise(20)
    found = explain.opened(built).probabilities(images)
    assert found == pytest.approx(built.model.predict(images, verbose=0), abs=1e-5)


def test_more_images_than_a_batch_are_each_explained_for_their_own_class(built):
    images, numbers = np.concatenate([noise(2)] * 12), [0, 1] * 12
    heat = explain.opened(built).maps(images, numbers)
    assert len(heat) == 24
    for one, other in zip(heat[:2], heat[-2:], strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_the_last_block_is_the_default(built):
    assert explain.opened(built).cut == len(built.backbone.blocks)


def test_a_block_that_is_not_there_is_named(built):
    with pytest.raises(TLError, match="unknown block 'conv9': did you mean 'conv"):
        explain.opened(built, at="conv9")
    with pytest.raises(TLError, match="unknown block '99'"):
        explain.opened(built, at="99")


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_loses_no_gradient(precision, tmp_path):
    keras.config.set_dtype_policy(precision)
    try:
        backbone = tiny_backbone()
        built = classifier.build(backbone, ("a", "b"), (len(backbone.blocks),))
        width = backbone.blocks[-1].output_shape[-1]
        built.set_head(1e-4 * np.random.default_rng(0).normal(size=(width, 2)), np.zeros(2))
        heat = explain.opened(built, at="3").maps(noise(2), [0, 1])
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(heat).all()
    assert heat.max(axis=(1, 2)) == pytest.approx([1, 1])


@pytest.mark.slow
@pytest.mark.parametrize("name", catalog.CARDS)
def test_every_backbone_of_the_catalogue_can_be_explained(name):
    card = catalog.get(name)
    size = max(96, card.smallest)
    backbone = loading.load(card, size, weights=None)
    built = classifier.build(backbone, ("a", "b"), backbone.stage_ends)
    width = sum(backbone.blocks[end - 1].output_shape[-1] for end in backbone.stage_ends)
    built.set_head(np.random.default_rng(0).normal(size=(width, 2)), np.zeros(2))
    images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    for at in (None, "2"):
        heat = explain.opened(built, at).maps(images, [0, 1])
        assert heat.shape[1] > 1
        assert heat.max(axis=(1, 2)) == pytest.approx([1, 1])
