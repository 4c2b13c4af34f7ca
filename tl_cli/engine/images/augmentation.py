"""Changes of a batch of images that keep its labels, by level; pure functions of the batch and of
the numbers drawn for it. Knows nothing of files, epochs and networks.

All randomness is an input: `draw` gives each image of an epoch one row of uniform numbers, so an
image is changed in the same way whichever thread does it and whichever images stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

# One column of uniform numbers for each decision about an image.
COLUMNS = (
    *("mirror", "area", "ratio", "x", "y"),
    *("brightness", "contrast", "saturation"),
    *("operation_1", "strength_1", "operation_2", "strength_2"),
    *("erase", "erase_area", "erase_ratio", "erase_x", "erase_y"),
    *("mix", "mix_kind", "mix_share", "mix_x", "mix_y"),
)
Draws = dict[str, tf.Tensor]  # column -> float32 [b] in 0..1


@dataclass(frozen=True)
class Level:
    """How far each change goes; 0 is not at all."""

    area: float = 1.0  # the smallest share of the image's area that a crop keeps
    ratio: float = 1.0  # the widest change of the width-to-height ratio
    shift: float = 0.0  # how far a crop may leave the image, as a share of its side
    colour: float = 0.0  # brightness, contrast and saturation are scaled by 1 - c .. 1 + c
    operations: int = 0  # how many OPERATIONS are applied to each image
    erase: float = 0.0  # the share of images that lose a rectangle
    mix: float = 0.0  # the share of images that are mixed with another one


LEVELS = {
    "none": Level(),
    "light": Level(area=0.7, ratio=4 / 3, shift=0.05),
    "medium": Level(area=0.7, ratio=4 / 3, shift=0.05, colour=0.3),
    "strong": Level(
        area=0.5, ratio=4 / 3, shift=0.05, colour=0.4, operations=2, erase=0.25, mix=0.5
    ),
}
# Levels whose labels are mixed too, and so must be one-hot.
MIXED = tuple(name for name, level in LEVELS.items() if level.mix)

ERASED_AREA = (0.02, 0.2)
ERASED_RATIO = 3.0
TURN = np.pi / 9  # 20 degrees
SHEAR = 0.2
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's mode L


def draw(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return float32 [n, len(COLUMNS)] in 0..1: row i is what image i of that epoch is given."""
    return np.random.default_rng((seed, epoch, 1)).random((n, len(COLUMNS)), np.float32)


def augmented(images: tf.Tensor, draws: tf.Tensor, augment: str, mirror: bool = False) -> tf.Tensor:
    """Return the batch changed by one of LEVELS, as float32 [b, s, s, 3] in 0..255.

    `images`: uint8 [b, s, s, 3]. `draws`: rows of `draw`, [b, len(COLUMNS)]. `mirror`: each image
    is mirrored or not by its own coin. Mixing two images is not done here: see `mix`.

    Methods: random resized crop, Szegedy et al. 2015 (arXiv:1409.4842); two random operations,
    RandAugment, Cubuk et al. 2019 (arXiv:1909.13719); random erasing, Zhong et al. 2017
    (arXiv:1708.04896).
    """
    level, u = LEVELS[augment], _columns(draws)
    if mirror or level.area < 1:
        images = _crop(images, u, level, mirror)
    images = tf.cast(images, tf.float32)
    if level.colour:
        images = _colour(images, u, level.colour)
    for i in range(1, level.operations + 1):
        images = _operate(images, u[f"operation_{i}"], u[f"strength_{i}"])
    if level.erase:
        images = _erase(images, u, level.erase)
    return images


def mix(
    images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, draws: tf.Tensor, augment: str
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mix a share of the batch with its images in reverse order, and labels and weights alike.

    `images`: float32 [b, s, s, 3]. `labels`: float32 one-hot [b, c]. `weights`: float32 [b]. Each
    mixed image is blended (MixUp, Zhang et al. 2017, arXiv:1710.09412) or is given a rectangle of
    the other one (CutMix, Yun et al. 2019, arXiv:1905.04899) by its own coin.
    """
    u = _columns(draws)
    size = tf.shape(images)[1]
    # The inverse of Beta(1/2, 1/2), which mostly leaves one of the two images dominant; CutMix
    # takes Beta(1, 1), as its paper does.
    blend = tf.sin(u["mix_share"] * (np.pi / 2)) ** 2
    side = tf.sqrt(u["mix_share"])
    box = _box(size, side, side, u["mix_x"], u["mix_y"])
    area = tf.reduce_mean(tf.cast(box, tf.float32), [1, 2, 3])
    taken, cut = u["mix"] < LEVELS[augment].mix, u["mix_kind"] < 0.5
    other = tf.where(taken, tf.where(cut, area, blend), 0.0)
    share = tf.where(_each(taken & cut), tf.cast(box, tf.float32), _each(other))
    return (
        images + share * (tf.reverse(images, [0]) - images),
        labels + other[:, None] * (tf.reverse(labels, [0]) - labels),
        weights + other * (tf.reverse(weights, [0]) - weights),
    )


def _columns(draws: tf.Tensor) -> Draws:
    return dict(zip(COLUMNS, tf.unstack(draws, len(COLUMNS), axis=1), strict=True))


def _each(values: tf.Tensor) -> tf.Tensor:
    """[b] -> [b, 1, 1, 1]: one number for each image."""
    return values[:, None, None, None]


def _between(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + u * (high - low)


def _crop(images: tf.Tensor, u: Draws, level: Level, mirror: bool) -> tf.Tensor:
    """A rectangle of the image, or a little outside (mirrored there), in full size.

    One op for the whole batch, 2.7 times as fast as a projective transform; from right to left it
    mirrors, which costs nothing.
    """
    size = images.shape[1]
    border = round(level.shift * size)
    ratio = tf.pow(level.ratio, _between(u["ratio"], -0.5, 0.5))
    area = _between(u["area"], level.area, 1.0)
    width, height = (tf.minimum(tf.sqrt(area * r), 1.0) for r in (ratio, 1 / ratio))
    # the op's measure: the first and the last pixel of the (bordered) image are 0 and 1
    whole, far = size - 1.0, size + 2.0 * border - 1.0
    left, top = u["x"] * (far - width * whole), u["y"] * (far - height * whole)
    right, bottom = left + width * whole, top + height * whole
    if mirror:
        left, right = (
            tf.where(u["mirror"] < 0.5, *ends) for ends in ((right, left), (left, right))
        )
    cropped = tf.image.crop_and_resize(
        _bordered(images, border),
        tf.stack([top, left, bottom, right], 1) / far,
        tf.range(tf.shape(images)[0]),
        [size, size],
    )
    return tf.ensure_shape(cropped, [None, size, size, 3])


def _bordered(images: tf.Tensor, border: int) -> tf.Tensor:
    """Mirror the edges outwards; tf.pad does the same, several times slower."""
    if not border:
        return images
    for axis in (1, 2):
        here = (slice(None),) * axis
        before = tf.reverse(images[(*here, slice(None, border))], [axis])
        after = tf.reverse(images[(*here, slice(-border, None))], [axis])
        images = tf.concat([before, images, after], axis)
    return images


def _colour(images: tf.Tensor, u: Draws, most: float) -> tf.Tensor:
    """Scale brightness, contrast (about the mean grey) and saturation: one matrix an image."""
    brightness, contrast, saturation = (
        _between(u[name], 1 - most, 1 + most)[:, None, None]
        for name in ("brightness", "contrast", "saturation")
    )
    flat = tf.reshape(images, [tf.shape(images)[0], -1, 3])
    to_grey = tf.tile(tf.constant(GREY)[:, None], [1, 3])
    grey = tf.matmul(tf.reduce_mean(flat, 1, keepdims=True), to_grey)
    saturate = saturation * tf.eye(3) + (1 - saturation) * to_grey
    changed = tf.matmul(flat, brightness * contrast * saturate)
    return _clip(tf.reshape(changed + brightness * (1 - contrast) * grey, tf.shape(images)))


def _operate(images: tf.Tensor, which: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Give each image one of OPERATIONS, all with the same chance."""
    count = len(OPERATIONS)
    chosen = tf.cast(which * count, tf.int32)
    changed = [
        operation(*of_those)
        for operation, *of_those in zip(
            OPERATIONS.values(),
            tf.dynamic_partition(images, chosen, count),
            tf.dynamic_partition(strength, chosen, count),
            strict=True,
        )
    ]
    places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), chosen, count)
    return tf.ensure_shape(tf.dynamic_stitch(places, changed), images.shape)


def _erase(images: tf.Tensor, u: Draws, share: float) -> tf.Tensor:
    """Paint a rectangle of some of the images in their mean colour."""
    side = tf.sqrt(_between(u["erase_area"], *ERASED_AREA))
    ratio = tf.pow(ERASED_RATIO, _between(u["erase_ratio"], -0.5, 0.5))
    box = _box(tf.shape(images)[1], side * ratio, side / ratio, u["erase_x"], u["erase_y"])
    # arithmetic, because tf.where is several times slower where it has to broadcast
    erased = tf.cast(box & _each(u["erase"] < share), tf.float32)
    return images + erased * (tf.reduce_mean(images, [1, 2], keepdims=True) - images)


def _box(
    size: tf.Tensor, width: tf.Tensor, height: tf.Tensor, x: tf.Tensor, y: tf.Tensor
) -> tf.Tensor:
    """A rectangle in each image as a mask, bool [b, s, s, 1]; its measures are shares of a side."""
    middles = (tf.range(tf.cast(size, tf.float32)) + 0.5) / tf.cast(size, tf.float32)
    left, top = (x * (1 - width))[:, None], (y * (1 - height))[:, None]
    columns = (middles >= left) & (middles < left + width[:, None])
    rows = (middles >= top) & (middles < top + height[:, None])
    return rows[:, :, None, None] & columns[:, None, :, None]


def _clip(images: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(images, 0.0, 255.0)


def _blend(start: tf.Tensor, end: tf.Tensor, how_far: tf.Tensor) -> tf.Tensor:
    return start + _each(how_far) * (end - start)


def _affine(
    images: tf.Tensor, turn: tf.Tensor, shear_x: tf.Tensor, shear_y: tf.Tensor
) -> tf.Tensor:
    """Turn (radians) and shear about the middle, mirrored beyond the edge; all float32 [b]."""
    middle = (tf.cast(tf.shape(images)[1], tf.float32) - 1) / 2
    cos, sin = tf.cos(turn), tf.sin(turn)
    a, b, c, d = cos, shear_x - sin, shear_y + sin, cos
    zero = tf.zeros_like(a)
    matrix = [a, b, middle * (1 - a - b), c, d, middle * (1 - c - d), zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(matrix, 1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _posterize(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Keep 7 (weak) to 3 (strong) of the 8 bits."""
    step = _each(tf.pow(2.0, tf.floor(_between(strength, 1.0, 5.999))))
    return tf.floor(images / step) * step


def _solarize(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Invert what is brighter than 255 (weak) to 128 (strong)."""
    return tf.where(images > _each(255.0 - 127.0 * strength), 255.0 - images, images)


def _autocontrast(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    low = tf.reduce_min(images, [1, 2], keepdims=True)
    high = tf.reduce_max(images, [1, 2], keepdims=True)
    stretched = (images - low) * 255.0 / tf.maximum(high - low, 1.0)
    return _blend(images, stretched, strength)


def _sharpen(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """From blurred (0) over unchanged (1/2) to sharpened (1)."""
    blurred = tf.nn.avg_pool2d(images, 3, 1, "SAME")
    return _clip(_blend(blurred, images, 2 * strength))


def _rotate(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    none = tf.zeros_like(strength)
    return _affine(images, _between(strength, -TURN, TURN), none, none)


def _shear_x(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    none = tf.zeros_like(strength)
    return _affine(images, none, _between(strength, -SHEAR, SHEAR), none)


def _shear_y(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    none = tf.zeros_like(strength)
    return _affine(images, none, none, _between(strength, -SHEAR, SHEAR))


# Of RandAugment's operations those that keep what most pictures show: (images float32, strength
# 0..1 [b]) -> images, all in 0..255.
OPERATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "rotate": _rotate,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "sharpness": _sharpen,
}
