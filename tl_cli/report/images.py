"""Images as they stand in a page: small JPEGs inside its text. Knows nothing of runs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tl_cli.data import presence
from tl_cli.data.decode import open_rgb
from tl_cli.data.manifest import Manifest, Record
from tl_cli.errors import TLError
from tl_cli.report.figures.dataset import evenly
from tl_cli.report.heat import overlay

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

THUMBNAIL, MEDIUM, LARGE = 96, 160, 300  # pixels of the longer side
QUALITY = 80
MOST_CLASSES, A_CLASS = 12, 6  # of the sample grid
MIME = "data:image/jpeg;base64,"


@dataclass(frozen=True)
class Samples:
    """A row of the sample grid."""

    name: str
    count: int
    pictures: tuple[str, ...]


def samples(manifest: Manifest) -> tuple[Samples, ...]:
    """Return a row of pictures for each class, evenly over those that there are."""
    rows = []
    for name in evenly(manifest.classes, MOST_CLASSES):
        own = [r for r in manifest.records if name in manifest.names(r)]
        pictures = (picture(r) for r in evenly(own, A_CLASS))
        rows.append(Samples(name, len(own), tuple(p for p in pictures if p)))
    return tuple(rows)


def picture(record: Record, side: int = THUMBNAIL) -> str:
    """Return a record's image for `src`, or "" where it can no longer be read or is another now."""
    if presence.state(record) != presence.SAME:
        return ""
    try:
        return embedded(shrunk(open_rgb(record, side), side))
    except TLError:
        return ""


def with_heat(record: Record, heat: np.ndarray, side: int = LARGE) -> str:
    """Return a record's image under a map of evidence for `src`, "" where it cannot be read."""
    try:
        return embedded(overlay(shrunk(open_rgb(record, side), side), heat))
    except TLError:
        return ""


def shrunk(image: Image, side: int) -> Image:
    """Return the image with its longer side at most so long; tiny ones are enlarged in blocks."""
    from PIL.Image import Resampling

    factor = side / max(image.size)
    width, height = (max(1, round(edge * factor)) for edge in image.size)
    return image.resize((width, height), Resampling.LANCZOS if factor < 1 else Resampling.NEAREST)


def embedded(image: Image) -> str:
    """Return an image as the text that `src` takes."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, optimize=True)
    return MIME + base64.b64encode(out.getvalue()).decode("ascii")
