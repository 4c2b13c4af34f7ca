"""Keras 3's own file: opened by Keras alone, whatever its backend. Class names lie beside."""

from __future__ import annotations

from pathlib import Path

import keras

from tl_cli.engine.export.network import Network, Runtime

RUNTIME = "keras"


def write(network: Network, path: Path) -> None:
    """Write the file: plain layers from raw RGB 0..255 to probabilities; nothing of tl inside."""
    network.plain.save(path)


def runtime(path: Path) -> Runtime:
    """Return what runs the file on images float32 [b, size, size, 3]."""
    return keras.models.load_model(path, compile=False).predict_on_batch
