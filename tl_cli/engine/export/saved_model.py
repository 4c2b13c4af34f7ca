"""SavedModel: TensorFlow's own, as TensorFlow Serving takes it.

Signatures: `serving_default` takes `image`, raw RGB 0..255 of any size, and gives `probabilities`;
`encoded` takes `files`, the bytes of JPEG or PNG files, and gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from tl_cli.engine.export.network import SIGNATURE, Network, Runtime

RUNTIME = "tensorflow"
ENCODED = "encoded"


def write(network: Network, path: Path) -> None:
    """Write the folder, with the class names in assets.extra/labels.txt."""
    side, run = network.size, network.function

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
    def image(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return run(_squashed(image, side))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "files")])
    def encoded(files: tf.Tensor) -> dict[str, tf.Tensor]:
        opened = partial(_opened, side=side)
        return run(tf.map_fn(opened, files, fn_output_signature=network.image.dtype))

    signatures = {SIGNATURE: image, ENCODED: encoded}
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / "labels.txt").write_text(network.labels, encoding="utf-8")


def runtime(path: Path) -> Runtime:
    """Return what runs the folder on images float32 [b, height, width, 3]."""
    signatures = _loaded(path).signatures
    return lambda images: signatures[SIGNATURE](image=tf.constant(images))["probabilities"].numpy()


def encoded(path: Path) -> Callable[[Sequence[bytes]], np.ndarray]:
    """Return what runs the folder on the bytes of image files."""
    signatures = _loaded(path).signatures
    return lambda files: signatures[ENCODED](files=tf.constant(list(files)))[
        "probabilities"
    ].numpy()


@lru_cache(maxsize=1)
def _loaded(path: Path) -> tf.Module:
    return tf.saved_model.load(str(path))


def _squashed(image: tf.Tensor, side: int) -> tf.Tensor:
    """Resize as Pillow does, [.., h, w, 3] -> float32 [.., side, side, 3]; exact where it fits."""
    return tf.image.resize(image, (side, side), tf.image.ResizeMethod.BILINEAR, antialias=True)


def _opened(data: tf.Tensor, side: int) -> tf.Tensor:
    """Return JPEG or PNG bytes as RGB 0..255, float32 [side, side, 3], transparency on white."""
    image = tf.cond(
        tf.io.is_jpeg(data),
        lambda: _jpeg(data, side),
        lambda: _on_white(tf.cast(tf.io.decode_png(data, channels=4), tf.float32)),
    )
    return tf.ensure_shape(_squashed(image, side), (side, side, 3))


def _jpeg(data: tf.Tensor, side: int) -> tf.Tensor:
    """Decode at 1/8, 1/4 or 1/2 where both sides keep `side` pixels, as Pillow's draft does."""
    times = tf.reduce_min(tf.io.extract_jpeg_shape(data)[:2]) // side

    def scaled(ratio: int) -> tf.Tensor:
        image = tf.io.decode_jpeg(data, 3, ratio=ratio, dct_method="INTEGER_ACCURATE")
        return tf.cast(image, tf.float32)

    steps = [(times >= ratio, partial(scaled, ratio)) for ratio in (8, 4, 2)]
    return tf.case(steps, default=partial(scaled, 1))


def _on_white(image: tf.Tensor) -> tf.Tensor:
    colour, alpha = image[..., :3], image[..., 3:] / 255.0
    return colour * alpha + 255.0 * (1.0 - alpha)
