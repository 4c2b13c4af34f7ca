"""Where the evidence lies, laid over the image. Knows nothing of how it was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

STRONGEST = 0.75  # opacity where all the evidence is


def overlay(image: Image, heat: np.ndarray) -> Image:
    """Return an RGB image with the map (float [h, w], 0..1) glowing over it, in its own size.

    The network saw the whole image squashed to a square, so the map is stretched back over it.
    """
    import numpy as np
    from matplotlib import colormaps
    from PIL import Image as Images

    levels = Images.fromarray((255 * heat).astype(np.uint8))
    levels = levels.resize(image.size, Images.Resampling.BICUBIC)
    strength = np.asarray(levels, dtype=np.float32) / 255
    glow = colormaps["inferno"](0.25 + 0.7 * strength)[..., :3] * 255
    grey = np.asarray(image.convert("L").convert("RGB"), dtype=np.float32)
    opacity = STRONGEST * strength[..., None] ** 1.2
    return Images.fromarray((grey * (1 - opacity) + glow * opacity).round().astype(np.uint8))
