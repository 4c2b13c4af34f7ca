"""The plan of a training from scratch: random weights, everything trained. Pure.

Knows nothing of TensorFlow, of files, and of networks only their blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tl_cli import plan as plans
from tl_cli.plan import SCRATCH, FreezePlan, training_reasons
from tl_cli.plan.blocks import Block

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 5e-2
EPOCHS_AT = 40, 1000  # epochs, training images; with more images fewer epochs, as 1 / sqrt
EPOCHS = 15, 120  # least and most
AUGMENT = "medium"
WHY = {
    "learning_rate": "random weights bear, and need, a larger rate than pretrained ones",
    "layer_decay": "no block knows more than another",
    "weight_decay": "what nothing was learnt for should stay small",
    "label_smoothing": "none",
    "batch_size": "fits any memory, and a small set still gets several steps an epoch",
    "epochs": "a network learns in steps: more epochs the fewer the images",
    "augment": "without pretrained features, more looks at each image",
}


def recommend(
    size: int, classes: int, blocks: Sequence[Block], *, backbone: str, images_per_class: float
) -> FreezePlan:
    """Return the plan for `size` training images; starting numbers, to be overridden."""
    plan = plans.recommend(
        size, classes, blocks, backbone=backbone, images_per_class=images_per_class, freeze="full"
    )
    plan = replace(
        plan,
        strategy=SCRATCH,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        epochs=epochs(size),
        augment=AUGMENT,
        why=WHY,
    )
    reasons = (
        "You asked for --from-scratch: random weights (He initialisation), and every layer is "
        "trained, BatchNorm too.",
        "Without pretrained weights there is nothing to look at once: no features are kept, no "
        "head is solved, and whether mirroring keeps the labels is not measured (--mirror yes).",
    )
    return replace(plan, reasons=reasons + training_reasons(plan))


def epochs(size: int) -> int:
    """Return how often `size` images are gone through: a network learns in steps, not in epochs."""
    many, images = EPOCHS_AT
    least, most = EPOCHS
    return round(min(most, max(least, many * math.sqrt(images / size))))
