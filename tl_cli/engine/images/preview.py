"""What augmentation does to a few images, to be looked at. Knows nothing of drawing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tl_cli.data.manifest import Manifest, Record
from tl_cli.engine.images import augmentation, image_store
from tl_cli.engine.images.augmentation import mix

IMAGES = 8
VARIANTS = 6


def chosen(manifest: Manifest) -> list[Record]:
    """Return IMAGES records, or all where there are fewer: of as many classes as can be."""
    own = [[r for r in manifest.records if name in manifest.names(r)] for name in manifest.classes]
    taken: list[Record] = []
    while len(taken) < IMAGES and any(own):
        turn = len(taken)
        spare = [records for records in own if records]
        # evenly over the classes where there are too many for one image each
        step = max(1.0, len(spare) / (IMAGES - turn))
        picks = [spare[int(i * step)] for i in range(min(IMAGES - turn, len(spare)))]
        taken += [records.pop(0) for records in picks]
    return sorted(taken, key=lambda r: [*map(manifest.classes.index, manifest.names(r))])


def variants(records: Sequence[Record], size: int, augment: str, seed: int = 0) -> np.ndarray:
    """Return uint8 [n, 1 + VARIANTS, size, size, 3]: each image plain, then as training draws it.

    `augment`: one of pipeline.LEVELS. A level that mixes images mixes them with one another.
    Nothing is mirrored: whether that keeps the label is decided by `--mirror`. Raises TLError where
    an image can no longer be read.
    """
    n = len(records)
    plain = image_store.store(records, size, memory=0, disk=0)[np.arange(n)]
    looks = [plain]
    for epoch in range(VARIANTS):
        draws = tf.constant(augmentation.draw(n, seed, epoch))
        images = tf.cast(augmentation.augmented(tf.constant(plain), draws, augment), tf.float32)
        if augment in augmentation.MIXED:
            images, _, _ = mix(images, tf.eye(n), tf.ones(n), draws, augment)
        looks.append(np.clip(np.rint(images), 0, 255).astype(np.uint8))
    return np.stack(looks, axis=1)
