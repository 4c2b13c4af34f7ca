"""Keras 3's own file: opened by Keras alone, whatever its backend. Class names lie beside.

Where unknown images are told it answers with a dictionary by name, never with a list: of that,
`predict(x)[0]` would be all probabilities, where it was those of the first image.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from tl_cli.engine.export.network import PROBABILITIES, Network, Runtime

RUNTIME = "keras"


def write(network: Network, path: Path) -> None:
    """Write the file: plain layers from raw RGB 0..255 to probabilities; nothing of tl inside."""
    network.plain.save(path)


def runtime(path: Path) -> Runtime:
    """Return what runs the file on images float32 [b, size, size, 3]."""
    run = keras.models.load_model(path, compile=False).predict_on_batch

    def named(images: np.ndarray) -> Mapping[str, np.ndarray]:
        said = run(images)
        return said if isinstance(said, dict) else {PROBABILITIES: said}

    return named
