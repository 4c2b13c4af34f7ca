"""A network and a data set that cost nothing, for tests of what is done with them."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from PIL import Image

from tl_cli import config
from tl_cli.catalog import Card
from tl_cli.data.manifest import Manifest
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_splits
from tl_cli.engine.context import RunContext
from tl_cli.engine.networks import graph
from tl_cli.engine.networks.loading import Backbone
from tl_cli.plan import override, recommend

CARD = Card("tiny", "none", "", 32, "included", "nothing", "none")
COLOURS = {"blue": (60, 70, 190), "green": (60, 180, 70), "red": (190, 60, 70)}


def tiny_backbone(seed: int = 0) -> Backbone:
    """Six convolutions with BatchNorm whose moments are not trivial; 32 px."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 128, -1)(inputs)
    for i, (filters, stride) in enumerate(((8, 2), (12, 2), (12, 1), (16, 2), (24, 1), (32, 1))):
        x = keras.layers.Conv2D(filters, 3, stride, "same", use_bias=False, name=f"conv{i}")(x)
        x = keras.layers.BatchNormalization(name=f"norm{i}")(x)
        x = keras.layers.ReLU()(x)
    model = keras.Model(inputs, x)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.moving_mean.assign(rng.normal(0, 0.1, n))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, n))
    return Backbone(CARD, 32, model, tuple(graph.blocks(model)))


def coloured(root: Path, per_class: int = 12, noise: int = 60) -> Path:
    """Write noisy pictures of three colours below root/<colour>/."""
    rng = np.random.default_rng(1)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = np.clip(rng.normal(colour, noise, (32, 32, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(root / name / f"{i:02d}.png")
    return root


def split_of(root: Path, **options) -> Manifest:
    return assign_splits(scan(str(root)), **{"val": 0.3, "test": 0.2, **options})


def tiny_context(root: Path, freeze_ratio: str = "half", **options) -> RunContext:
    """A job on coloured pictures with the tiny backbone."""
    settings = config.RunConfig(data=str(root), freeze=freeze_ratio, **options)
    manifest, backbone = split_of(root), tiny_backbone()
    counts = manifest.counts("train")
    plan = recommend(
        sum(counts.values()), len(counts), backbone.blocks, backbone="tiny", freeze=freeze_ratio
    )
    plan = override(
        plan, epochs=settings.epochs, batch_size=8, learning_rate=settings.learning_rate,
        layer_decay=settings.layer_decay, label_smoothing=settings.label_smoothing,
        augment=None if settings.augment == "auto" else settings.augment,
    )  # fmt: skip
    return RunContext(settings, manifest, backbone, plan, "float32")
