"""Runs of `tl train` on small coloured pictures, for tests of what comes after."""

from __future__ import annotations

from pathlib import Path

import keras

from odd_images import write_odd
from test_cli import COLOURS, SMALL, paint, tl


def photos(root: Path) -> Path:
    """Write three classes with a validation and a test split; the test images are odd ones, too."""
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "train" / name, seed, 20, colour)
        paint(root / "val" / name, seed + 10, 6, colour)
        paint(root / "test" / name, seed + 20, 4, colour)
        write_odd(root / "test" / name / "odd", 10 * seed)
    return root


def trained(data: Path, run: Path, *options: object) -> Path:
    """Train at 32 px and return the run."""
    done = tl("train", "--data", data, *SMALL, "--epochs", 1, "--output", run, "-q", *options)
    assert done.exit_code == 0, done.stderr
    return run


def mobilenet_weights(path: Path) -> Path:
    """Write random weights of a small network of keras.applications.

    Its BatchNorm has seen images, so that its features differ from one image to the next.
    """
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNet((32, 32, 3), alpha=0.25, include_top=False, weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(keras.random.uniform((64, 32, 32, 3), -1, 1), training=True)
    network.save_weights(path)
    return path
