"""TIFF of many bands (satellites, microscopes) as one more format of Pillow's, by tifffile.

Three of the bands, or one, become the colours that a network looks at; which, only their owner can
say (`--channels 4,3,2`). Once said it holds for this process, as the scale of grey levels does, and
the checkpoint keeps it. Imported only when tifffile is there (extra `tiff`); knows no data sets.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFile  # noqa: TID253  # a format of Pillow's: imported where it is used
from tifffile import TiffFile

from tl_cli.data import channels
from tl_cli.data.faults import TIFF, Fault

if TYPE_CHECKING:
    import numpy as np

FORMAT = "BANDS"
GREY, COLOURS, PLANES = (0, 1), 2, 2  # of TIFF's photometric interpretation and configuration
LARGEST = 2_000_000_000  # bytes of one image, all of its bands
ALPHA = (1, 2)  # of TIFF's extra samples
ASK = "has {} bands: say which are red, green and blue (--channels {})"
CODEC = "is a TIFF whose compression needs imagecodecs (pip install imagecodecs)"


class BandsFile(ImageFile.ImageFile):
    """The chosen bands of the first page; `levels` has them whole: uint8, uint16 or float32."""

    format = FORMAT
    format_description = "TIFF of many bands"
    levels: np.ndarray | None = None

    def _open(self) -> None:
        assert self.fp
        with TiffFile(self.fp) as file:
            page: Any = file.pages[0]
            height, width, bands = page.imagelength, page.imagewidth, page.samplesperpixel
            if not _is_ours(page):
                raise SyntaxError("not a TIFF of many bands")
            _check(page, width * height * bands * page.bitspersample // 8)
        self._size, self._mode, self.tile = (width, height), "RGB", []

    def load(self) -> Any:
        """Decode the bands, once; those of 16 bits and floats by their upper part, for a glance."""
        if self._im is None:
            self.levels = _chosen(self.fp)
            self.im = Image.fromarray(_upper(self.levels)).im
        return super().load()


def register() -> None:
    """Have Pillow know the format. What tifffile says of odd files is held back."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    Image.register_open(FORMAT, BandsFile, lambda prefix: prefix.startswith(TIFF))


def _is_ours(page: Any) -> bool:
    """Whether Pillow would not read it, or would take any three bands for colours."""
    bands, apart = page.samplesperpixel, page.planarconfig == PLANES
    if page.photometric == COLOURS and not channels.in_use():
        return bool(bands > 4 or (bands == 3 and apart))
    if bands == 2 and not channels.in_use() and set(page.extrasamples) & set(ALPHA):
        return False  # grey, and how much of it is there
    return bool(bands > 1 and page.photometric in (*GREY, COLOURS))


def _check(page: Any, size: int) -> None:
    """Raise Fault where there is no telling which bands are meant, or no room for them."""
    bands, chosen = page.samplesperpixel, channels.in_use()
    if not chosen and page.photometric != COLOURS:
        raise Fault(ASK.format(bands, "3,2,1" if bands > 2 else "1"))
    if chosen and max(chosen) > bands:
        raise Fault(f"has {bands} bands, and no band {max(chosen)} (--channels)")
    if size > LARGEST:
        raise Fault(f"would take {size / 1e9:.0f} GB of memory, with its {bands} bands")


def _chosen(file: Any) -> np.ndarray:
    """Return the bands in the order asked for: [h, w, 3]; one band stands for all three."""
    import numpy as np

    file.seek(0)
    with TiffFile(file) as opened:
        page: Any = opened.pages[0]
        try:
            pixels = np.asarray(page.asarray())
        except ValueError as error:
            if "imagecodecs" in str(error):
                raise Fault(CODEC) from error
            raise
        apart = page.planarconfig == PLANES and pixels.ndim == 3
    pixels = np.moveaxis(pixels, 0, -1) if apart else pixels
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    wanted = [band - 1 for band in channels.in_use() or (1, 2, 3)]
    levels = pixels[..., wanted if len(wanted) == 3 else wanted * 3]
    if levels.dtype.kind == "u" and levels.dtype.itemsize <= 2:
        return levels
    if levels.dtype.kind == "i" and levels.dtype.itemsize <= 2:
        return np.asarray(np.clip(levels, 0, None), dtype=np.uint16)
    return np.asarray(levels, dtype=np.float32)


def _upper(levels: np.ndarray) -> np.ndarray:
    import numpy as np

    if levels.dtype.itemsize == 1:
        return np.ascontiguousarray(levels)
    if levels.dtype.kind == "f":
        return np.zeros(levels.shape, np.uint8)  # scaled by `deep_images`
    return np.asarray(levels >> 8, dtype=np.uint8)
