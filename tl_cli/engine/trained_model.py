"""A classifier as it is to be saved, and what it says of the images that tuned nothing of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tl_cli.engine.networks.classifier import Classifier


@dataclass(frozen=True)
class TrainedModel:
    """A classifier whose weights are those to be saved.

    `held_out`: probabilities float32 [n, C] of the validation images by the same recipe without
    them in the fit. `fitted`: what the classifier itself says of them; other numbers only where the
    head was solved anew on training and validation images together (`refit`).
    """

    classifier: Classifier
    held_out: np.ndarray
    fitted: np.ndarray
    refit: bool = False
