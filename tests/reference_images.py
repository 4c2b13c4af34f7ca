"""Images that are the same numbers everywhere: no decoder, no resizing, no random generator."""

import numpy as np


def reference_images(size: int = 96) -> np.ndarray:
    """Return float32 [3, size, size, 3] in 0..255: stripes, a disc, a soft gradient."""
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    stripes = (7 * y + 13 * x + 29 * c) % 256
    disc = np.where(
        (y - size // 2) ** 2 + (x - size // 3) ** 2 < (size // 4) ** 2, 220 - 60 * c, 30
    )
    gradient = (y * 255 // (size - 1) + x * (c + 1) * 127 // (size - 1)) % 256
    return np.stack([stripes, disc, gradient]).astype("float32")
