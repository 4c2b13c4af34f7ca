"""Records -> batches: each image decoded once to a store, then shuffled, augmented, batched.

Knows nothing of networks and plans.
"""

from __future__ import annotations

from tl_cli.engine.images.augmentation import LEVELS, MIXED, augmented, draw
from tl_cli.engine.images.dataset import (
    Waiting,
    batches,
    class_weights,
    clear_errors,
    oversample,
    steps,
)
from tl_cli.engine.images.image_store import ImageStore, store

__all__ = [
    "LEVELS",
    "MIXED",
    "ImageStore",
    "Waiting",
    "augmented",
    "batches",
    "class_weights",
    "clear_errors",
    "draw",
    "oversample",
    "steps",
    "store",
]
