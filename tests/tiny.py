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
from tl_cli.engine import recommend_freeze
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune import settings
from tl_cli.engine.finetune.settings import FinetuneSettings
from tl_cli.engine.head import choice
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.networks import graph
from tl_cli.engine.networks.loading import Backbone
from tl_cli.plan import FreezePlan
from tl_cli.results.progress import silent

CARD = Card("tiny", "none", "", 32, "included", "nothing", "none")
COLOURS = {"blue": (60, 70, 190), "green": (60, 180, 70), "red": (190, 60, 70)}
ROOM = 10**9  # bytes of features that a run may keep


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


def tiny_context(root: Path, freeze: str = "half", **options) -> RunContext:
    """A run on coloured pictures with the tiny backbone, in batches of 8."""
    options = {"batch_size": 8, **options}
    chosen = config.RunConfig(data=str(root), freeze=freeze, **options)
    room = ROOM if chosen.cache else 0
    return RunContext(chosen, split_of(root), tiny_backbone(), "float32", room)


def tiny_plan(context: RunContext) -> FreezePlan:
    """The plan that follows from the options alone."""
    return recommend_freeze.recommend(context, None)


def tiny_settings(context: RunContext, *, mirror: bool = False) -> FinetuneSettings:
    """The plan, and what follows from it for this run."""
    return settings.decide(context, tiny_plan(context), mirror=mirror)


def tiny_head(context: RunContext) -> SolvedHead:
    """The head solved on the one pass."""
    return choice.solve(context, choice.extract(context, silent))
