"""SavedModel: TensorFlow's own, as TensorFlow Serving takes it.

Signatures: `serving_default` takes `image`, raw RGB 0..255 of any size, and gives `probabilities`,
and where unknown images are told `unknown_score`; `encoded` takes `files`, the bytes of JPEG or PNG
files, and gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from tl_cli.data import grey_levels
from tl_cli.data.decode import ORIENTATION
from tl_cli.engine.export.network import NO_GRADIENTS, SIGNATURE, Network, Runtime

RUNTIME = "tensorflow"
ENCODED = "encoded"
EXIF_BYTES = 65_536 + 64  # of a file: within them lies its EXIF segment, which is no longer
PAST_THE_END = 32  # zeros behind them, so that what a damaged segment points to is there
MOST_ENTRIES = 512
PNG_DEPTH = 24  # where the bits a channel stand


def write(network: Network, path: Path) -> None:
    """Write the folder, in its assets.extra class names, and from which score on is unknown."""
    side, run = network.size, network.function
    full = 2.0 ** (grey_levels.in_use() or grey_levels.FILE) - 1

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
    def image(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return run(_resized(image, side, side))  # exact where it fits

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "files")])
    def encoded(files: tf.Tensor) -> dict[str, tf.Tensor]:
        opened = partial(_opened, side=side, full=full)
        return run(tf.map_fn(opened, files, fn_output_signature=network.image.dtype))

    signatures = {SIGNATURE: image, ENCODED: encoded}
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures, options=NO_GRADIENTS)
    extra = path / "assets.extra"
    extra.mkdir()
    for name, text in network.files.items():
        (extra / name).write_text(text, encoding="utf-8")


def runtime(path: Path) -> Runtime:
    """Return what runs the folder on images float32 [b, height, width, 3]."""
    run = _loaded(path).signatures[SIGNATURE]
    return lambda images: _arrays(run(image=tf.constant(images)))


def encoded(path: Path) -> Callable[[Sequence[bytes]], Mapping[str, np.ndarray]]:
    """Return what runs the folder on the bytes of image files."""
    run = _loaded(path).signatures[ENCODED]
    return lambda files: _arrays(run(files=tf.constant(list(files))))


def _arrays(found: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in found.items()}


@lru_cache(maxsize=1)
def _loaded(path: Path) -> tf.Module:
    return tf.saved_model.load(str(path))


def _resized(image: tf.Tensor, height: tf.Tensor | int, width: int) -> tf.Tensor:
    """Resize as Pillow does, [.., h, w, 3] -> float32 [.., height, width, 3]."""
    bilinear = tf.image.ResizeMethod.BILINEAR
    return tf.image.resize(image, (height, width), bilinear, antialias=True)


def _opened(data: tf.Tensor, side: int, full: float = 65_535.0) -> tf.Tensor:
    """Return JPEG or PNG bytes as RGB 0..255, float32 [side, side, 3], upright and on white.

    `full`: the level of 16 bits that becomes 255.
    """
    image = tf.cond(
        tf.io.is_jpeg(data),
        lambda: _upright(_jpeg(data, side), exif_orientation(data)),
        lambda: _on_white(_png(data, full)),
    )
    # across, then down, to whole grey levels each time: as Pillow does
    across = tf.round(_resized(image, tf.shape(image)[0], side))
    return tf.ensure_shape(tf.round(_resized(across, side, side)), (side, side, 3))


def _jpeg(data: tf.Tensor, side: int) -> tf.Tensor:
    """Decode at 1/8, 1/4 or 1/2 where both sides keep `side` pixels, as Pillow's draft does."""
    times = tf.reduce_min(tf.io.extract_jpeg_shape(data)[:2]) // side

    def scaled(ratio: int) -> tf.Tensor:
        image = tf.io.decode_jpeg(data, 3, ratio=ratio, dct_method="INTEGER_ACCURATE")
        return tf.cast(image, tf.float32)

    steps = [(times >= ratio, partial(scaled, ratio)) for ratio in (8, 4, 2)]
    return tf.case(steps, default=partial(scaled, 1))


def _png(data: tf.Tensor, full: float) -> tf.Tensor:
    """Decode to levels 0..255; its header says how many bits a channel has."""

    def deep() -> tf.Tensor:
        levels = tf.cast(tf.io.decode_png(data, dtype=tf.uint16), tf.float32)
        return tf.round(tf.clip_by_value(levels * (255.0 / full), 0.0, 255.0))

    is_deep = tf.strings.substr(data, PNG_DEPTH, 1) == tf.constant(bytes([grey_levels.FILE]))
    return tf.cond(is_deep, deep, lambda: tf.cast(tf.io.decode_png(data), tf.float32))


def exif_orientation(data: tf.Tensor) -> tf.Tensor:
    """Return the orientation that a JPEG's bytes tell, int32, 1 to 8; 1 where they tell none.

    EXIF 2.32, 4.5 and 4.6.4: a TIFF header behind "Exif\\0\\0", a directory of 12 bytes an entry.
    """
    raw = tf.io.decode_raw(tf.strings.substr(data, 0, EXIF_BYTES), tf.uint8)
    bytes_ = tf.concat([tf.cast(raw, tf.int32), tf.zeros(PAST_THE_END, tf.int32)], 0)
    last = tf.size(bytes_) - 4

    def at(places: tf.Tensor, count: int) -> tf.Tensor:
        """Return the number in `count` bytes at each place, in the file's byte order."""
        places = tf.clip_by_value(places, 0, last)
        parts = tf.stack([tf.gather(bytes_, places + i) for i in range(count)], -1)
        factors = tf.constant([256**i for i in range(count)])
        return tf.reduce_sum(parts * tf.where(little, factors, factors[::-1]), -1)

    mark = tf.stack([tf.roll(bytes_, -i, 0) == byte for i, byte in enumerate(b"Exif\0\0")])
    places = tf.where(tf.reduce_all(mark, 0))[:, 0]
    there = tf.size(places) > 0
    start = tf.cast(tf.reduce_min(tf.concat([places, [2**31 - 1]], 0)), tf.int32)
    start = tf.minimum(start, last - 6) + 6
    little = tf.gather(bytes_, start) == ord("I")
    directory = start + at(start + 4, 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(at(directory, 2), MOST_ENTRIES))
    own = tf.boolean_mask(entries, at(entries, 2) == ORIENTATION)
    value = at(tf.concat([own, [last]], 0)[0] + 8, 2)
    return tf.where(there & (tf.size(own) > 0) & (value >= 1) & (value <= 8), value, 1)


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undo an EXIF orientation: turned ones are transposed, then mirrored where they need it."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(_is(orientation, 2, 3, 6, 7), lambda: image[:, ::-1], lambda: image)
    return tf.cond(_is(orientation, 3, 4, 7, 8), lambda: image[::-1], lambda: image)


def _is(number: tf.Tensor, *which: int) -> tf.Tensor:
    return tf.reduce_any(number == tf.constant(which))


def _on_white(image: tf.Tensor) -> tf.Tensor:
    """Return a PNG as RGB: it has 1 to 4 channels, and alpha is the second or the fourth.

    Asked for four, TensorFlow gives palettes of 4 bits an alpha of 15.
    """
    channels = tf.shape(image)[2]
    colour = tf.cond(
        channels >= 3, lambda: image[..., :3], lambda: tf.repeat(image[..., :1], 3, axis=2)
    )
    alpha = image[..., -1:] / 255.0
    white = tf.round(colour * alpha + 255.0 * (1.0 - alpha))
    return tf.where(channels % 2 == 0, white, colour)
