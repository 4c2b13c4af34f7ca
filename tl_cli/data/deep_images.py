"""Images of more than 8 bits a channel -> 8 bits: grey levels, floats, colours of 16 bits.

Pillow cuts grey levels off, and of 16 bits a colour it keeps the upper byte: of 12 bits in such a
file, 16 levels. So the lower byte is read, too. Knows nothing of data sets: see `grey_levels`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from tl_cli.data import grey_levels

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture

# Pillow's names for the order of bytes (N: as this machine has it): what gives the upper one of one
# order gives the lower one of the other
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
OTHER_BYTE = {
    f"{mode};16{one}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for one, other in _OTHER.items()
}
BANDS = "BANDS"  # the format whose images have their levels whole: see bands.py
USUAL = (1.0, 255.0, 65_535.0)  # what floats are usually scaled to
GREY_WITH_ALPHA, FOUR_BYTES = "LA;16B", "RGBA"  # two channels of 16 bits are four of 8


class Raw(NamedTuple):
    """How a deep image lies in its file; known before it is loaded, needed afterwards."""

    mode: str  # Pillow's name of the layout; "" for grey levels and floats, which it keeps whole
    file: IO[bytes] | None
    format: str

    @classmethod
    def of(cls, image: Picture) -> Raw | None:
        """Return it for an image of which only the header was read; None for 8 bits."""
        if image.mode.startswith(("I", "F")):
            return cls("", None, "")
        if image.format == BANDS:
            return cls(BANDS, None, "")
        tiles: list[Any] = getattr(image, "tile", [])
        modes = {tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in tiles if tile[3]}
        mode = modes.pop() if len(modes) == 1 else ""
        if mode in OTHER_BYTE or mode == GREY_WITH_ALPHA:
            return cls(mode, getattr(image, "fp", None), image.format or "")
        return None


def mode(image: Picture, raw: Raw | None) -> str:
    """Return a loaded image's mode; of 16 bits with those that its levels take: "I;12"."""
    if not raw or image.mode.startswith("F"):
        return image.mode
    bits = _bits(image, raw)
    return grey_levels.MODE.format(image.mode.partition(";")[0], bits) if bits else image.mode


def eight_bits(image: Picture, raw: Raw, scale: int | None) -> Picture:
    """Return a loaded image in 8 bits: grey, RGB or RGBA.

    `scale`: the bits whose greatest level becomes 255; None: the fewest that hold this image.
    """
    bits = _bits(image, raw)
    if not raw.mode:
        return _grey(image, scale if bits and scale else bits)
    if raw.mode == BANDS:
        return _of_bands(image, scale if bits and scale else bits)
    scale = scale or bits or grey_levels.FILE
    if raw.mode != GREY_WITH_ALPHA and scale == grey_levels.FILE:
        return image  # the upper bytes
    return _colour(image, raw, scale)


def _bits(image: Picture, raw: Raw) -> int | None:
    """Return the fewest bits that hold the image; None where levels of 16 bits are not what it has.

    Those of colours are told by the upper byte.
    """
    import numpy as np

    if image.mode.startswith("F"):
        return None
    if raw.mode == BANDS:
        whole = _levels(image)
        return grey_levels.bits_of(whole) if whole.dtype == np.uint16 else None
    levels = np.asarray(image)
    if raw.mode:
        channels = levels[..., :1] if raw.mode == GREY_WITH_ALPHA else levels[..., :3]
        return grey_levels.bits_of(channels.astype(np.uint16) << 8)
    return grey_levels.bits_of(levels) if levels.min(initial=0) >= 0 else None


def _grey(image: Picture, bits: int | None) -> Picture:
    """Scale grey levels to 0..255; of 32 bits and floats by the smallest usual scale that holds it.

    That is 1 (floats), 255 (floats), 65535, or 2^32 - 1.
    """
    import numpy as np
    from PIL import Image

    levels = np.nan_to_num(np.asarray(image, dtype=np.float64))
    usual = (2.0**32 - 1,) if image.mode.startswith("I") else USUAL
    return Image.fromarray(_scaled(levels, 2.0**bits - 1 if bits else _full(levels, usual)))


def _full(levels: np.ndarray, usual: Sequence[float]) -> float:
    """Return the smallest usual scale that holds all levels, else the greatest of them."""
    top = float(levels.max(initial=0.0))
    return next((scale for scale in usual if top <= scale), top)


def _levels(image: Picture) -> np.ndarray:
    """Return what a loaded image of bands has: uint8, uint16 or float32 [h, w, 3]."""
    levels: np.ndarray = image.levels  # type: ignore[attr-defined]
    return levels


def _of_bands(image: Picture, bits: int | None) -> Picture:
    import numpy as np
    from PIL import Image

    levels = _levels(image)
    if levels.dtype == np.uint8:
        return image
    whole = np.nan_to_num(levels.astype(np.float64))
    return Image.fromarray(_scaled(whole, 2.0**bits - 1 if bits else _full(whole, USUAL)))


def _colour(image: Picture, raw: Raw, bits: int) -> Picture:
    """Return colours (and alpha) of 16 bits in 8: alpha by its own scale."""
    import numpy as np
    from PIL import Image

    upper = np.asarray(image)
    if raw.mode == GREY_WITH_ALPHA:
        both = _loaded_as(raw, FOUR_BYTES)
        levels = (both[..., ::2].astype(np.uint16) << 8) | both[..., 1::2]
        levels = levels[..., [0, 0, 0, 1]]
    else:
        levels = (upper.astype(np.uint16) << 8) | _loaded_as(raw, OTHER_BYTE[raw.mode])
    channels = [_scaled(levels[..., :3], 2.0**bits - 1)]
    if levels.shape[-1] == 4:
        alpha = levels[..., 3:]
        channels.append(_scaled(alpha, 2.0 ** (grey_levels.bits_of(alpha) or bits) - 1))
    return Image.fromarray(np.concatenate(channels, axis=-1))


def _loaded_as(raw: Raw, layout: str) -> np.ndarray:
    """Return the channels of the file, its bytes taken in another order: uint8 [h, w, c]."""
    import numpy as np
    from PIL import Image

    assert raw.file is not None
    raw.file.seek(0)
    again: Any = Image.open(raw.file, formats=[raw.format])
    again.tile = [
        tile._replace(args=layout if isinstance(tile.args, str) else (layout, *tile.args[1:]))
        for tile in again.tile
    ]
    return np.asarray(again)


def _scaled(levels: np.ndarray, full: float) -> np.ndarray:
    import numpy as np

    return np.clip(levels * (255.0 / full), 0.0, 255.0).round().astype(np.uint8)
