"""Records -> batches: each image decoded once to a store, then shuffled, augmented, batched.

Knows nothing of networks and plans.
"""

from __future__ import annotations

from tl_cli.engine.pipeline.augment import COLUMNS, LEVELS, MIXED, apply, draw, mix
from tl_cli.engine.pipeline.dataset import (
    Waiting,
    batches,
    class_weights,
    oversample,
    steps,
)
from tl_cli.engine.pipeline.store import DECODE_VERSION, ImageStore, store

__all__ = [
    "COLUMNS",
    "DECODE_VERSION",
    "LEVELS",
    "MIXED",
    "ImageStore",
    "Waiting",
    "apply",
    "batches",
    "class_weights",
    "draw",
    "mix",
    "oversample",
    "steps",
    "store",
]
