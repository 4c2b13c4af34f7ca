"""How the freed part is trained: every number of it with its reason. Pure."""

from __future__ import annotations

from typing import Any

from tl_cli.plan.dataset_stats import TINY

EPOCHS = (6, 15)  # least and most
EPOCHS_AT_100 = 15  # images; from a softened head half as many do as from a sure one

Hyperparameters = dict[str, Any]


def hyperparameters(
    size: int, effective: int, strategy: str
) -> tuple[Hyperparameters, dict[str, str]]:
    """Return the numbers that a plan sets beside the ratio, and why each is what it is.

    `size`: training images; `effective`: N_eff; `strategy`: head, partial or full. The head is
    solved already, so it is tuned at the rate of the rest.
    """
    if strategy == "head":
        return _HEAD_ONLY, {}
    tiny = effective < TINY
    rate = 3e-4 if tiny else 5e-4
    epochs = round(max(EPOCHS[0], min(EPOCHS[1], EPOCHS_AT_100 * (size / 100) ** -0.35)))
    numbers = _HEAD_ONLY | {
        "learning_rate": rate,
        "epochs": epochs,
        "augment": "light",
    }
    return numbers, {
        "learning_rate": "what the plans were compared at on 20 to 330 images (docs/policy.md)"
        if tiny
        else "measured: from 400 images on the larger rates did better",
        "epochs": f"{EPOCHS_AT_100} x ({size:,} / 100)^-0.35, {EPOCHS[0]} to {EPOCHS[1]}: "
        "more images, fewer",
        "augment": "crops and shifts keep every label; mirroring only where the data allow it",
        "weight_decay": "AdamW's usual one; biases and BatchNorm are left out",
        "layer_decay": "no block is slower than another: the ratio decides what moves",
        "label_smoothing": "none: the solved head's probabilities are calibrated",
        "batch_size": "fits any memory, and a small set still gets several steps an epoch",
    }


_HEAD_ONLY: Hyperparameters = {
    "learning_rate": 1e-4,
    "weight_decay": 1e-2,
    "batch_size": 32,
    "layer_decay": 1.0,
    "label_smoothing": 0.0,
    "epochs": 0,
    "augment": "none",
}
