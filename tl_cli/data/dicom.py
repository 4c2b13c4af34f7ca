"""DICOM as one more format that Pillow reads, by pydicom (the extra `dicom`).

An image that states a window is shown through it, after its rescale slope and intercept, as a
viewer shows it (DICOM PS3.3 C.11.1 and C.11.2). One without keeps its stored levels, which are then
scaled by what the data set holds, as those of other deep files are. Of several frames the first is
taken. Imported only when pydicom is there; nothing of it knows data sets.
"""

from __future__ import annotations

import hashlib
import logging
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from PIL import Image, ImageFile  # noqa: TID253  # a format of Pillow's: imported where it is used
from pydicom import dcmread
from pydicom.pixels.processing import (
    apply_color_lut,
    apply_modality_lut,
    apply_voi_lut,
    apply_windowing,
)
from pydicom.pixels.utils import pixel_array

from tl_cli.data.faults import Fault
from tl_cli.data.groups import PATIENT

if TYPE_CHECKING:
    import numpy as np
    from pydicom import Dataset

FORMAT = "DICOM"
MARK, MARK_AT = b"DICM", 128
DEFLATED = b"1.2.840.10008.1.2.1.99"  # the syntax whose whole content is compressed: a bomb fits
GREY = ("MONOCHROME1", "MONOCHROME2")
INVERTED = "MONOCHROME1"  # its smallest level is white
FLOATS = 32  # bits from which on levels are amounts, not shades: doses, heights
LIMITS = (-1e30, 1e30)  # levels beyond every window: what they become are its ends
WATER = 1024  # Hounsfield units from air to water: added, they begin at 0
CODEC = "is DICOM in {}, which needs another decoder (pip install python-gdcm)"


class DicomFile(ImageFile.ImageFile):
    """The first frame: mode L through its window, I;16 or F without one, RGB in colour."""

    format = FORMAT
    format_description = "Digital Imaging and Communications in Medicine"

    def _open(self) -> None:
        self._header = header = read_header(self.fp)
        self._size = (int(header.Columns), int(header.Rows))
        self._mode = _mode(header)
        self.tile = []

    def load(self) -> Any:
        """Decode the pixels, once."""
        if self._im is None:
            self.im = Image.fromarray(_levels(self.fp, self._header, self._mode)).im
        return super().load()

    @property
    def subject(self) -> str:
        """What images of one patient have in common, without telling whom; "" if not stated."""
        named = str(self._header.get("PatientID") or "").strip()
        issued = str(self._header.get("IssuerOfPatientID") or "").strip()
        known = hashlib.sha256(f"{issued}\0{named}".encode()).hexdigest()[:12]
        return f"{PATIENT}{known}" if named else ""


def register() -> None:
    """Have Pillow know the format. pydicom's own remarks on odd files are held back."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    Image.register_open(FORMAT, DicomFile)


def read_header(file: IO[bytes] | None) -> Dataset:
    """Return all but the pixels. Raises Fault where there is no image that can be read."""
    assert file
    file.seek(0)
    head = file.read(1024)
    if not head.startswith(MARK, MARK_AT):
        raise SyntaxError("no DICOM file")  # as Pillow's own formats say it
    if DEFLATED in head:
        raise Fault("is a deflated DICOM file, which is not read (store it without)")
    file.seek(0)
    header = dcmread(file, stop_before_pixels=True, defer_size=1_000_000)
    if not header.get("Rows") or not header.get("Columns"):
        raise Fault(f"is DICOM without an image ({header.get('Modality') or 'no modality'})")
    return header


def _mode(header: Dataset) -> str:
    if header.get("PhotometricInterpretation") not in GREY:
        return "RGB"
    if _is_windowed(header):
        return "L"
    return "F" if int(header.get("BitsAllocated") or FLOATS) >= FLOATS else "I;16"


def _is_windowed(header: Dataset) -> bool:
    return "VOILUTSequence" in header or ("WindowCenter" in header and "WindowWidth" in header)


def _levels(file: IO[bytes] | None, header: Dataset, mode: str) -> np.ndarray:
    """Return uint8 [h, w] or [h, w, 3], uint16 [h, w] or float32 [h, w]."""
    stored = _first_frame(file, header)
    if mode == "RGB":
        return _colours(stored, header)
    if mode == "F":
        return apply_modality_lut(stored, header).astype("float32")
    levels = _windowed(stored, header) if mode == "L" else _unsigned(stored, header)
    return _turned(levels, header) if header.PhotometricInterpretation == INVERTED else levels


def _first_frame(file: IO[bytes] | None, header: Dataset) -> np.ndarray:
    import numpy as np

    assert file
    file.seek(0)
    try:
        return np.asarray(pixel_array(cast("BinaryIO", file), index=0))
    except RuntimeError as error:  # what pydicom raises where no decoder is installed
        if "missing dependencies" not in str(error):
            raise
        raise Fault(CODEC.format(header.file_meta.TransferSyntaxUID.name)) from error


def _colours(stored: np.ndarray, header: Dataset) -> np.ndarray:
    import numpy as np

    if header.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, header)[..., :3]
    if stored.dtype.itemsize == 1:
        return stored
    bits = 16 if "RedPaletteColorLookupTableDescriptor" in header else int(header.BitsStored)
    return np.clip(stored * (255.0 / (2.0**bits - 1)), 0, 255).round().astype(np.uint8)


def _windowed(stored: np.ndarray, header: Dataset) -> np.ndarray:
    """Return what a viewer shows: the modality's rescaling, then the first window or table."""
    import numpy as np

    values = apply_modality_lut(stored, header)
    if "VOILUTSequence" in header:
        shown = apply_voi_lut(values, header).astype(np.float64)
        low, high = 0.0, 2.0 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1
    else:
        flat = np.concatenate([values.ravel().astype(np.float64), LIMITS])
        ends = apply_windowing(flat, header)
        shown, (low, high) = ends[:-2].reshape(values.shape), ends[-2:]
    scaled = (shown - low) * (255.0 / max(high - low, 1e-12))
    return np.clip(np.nan_to_num(scaled), 0, 255).round().astype(np.uint8)


def _unsigned(stored: np.ndarray, header: Dataset) -> np.ndarray:
    """Return levels from 0 on: Hounsfield units from air on; of others what is not below 0."""
    import numpy as np

    if header.get("Modality") == "CT":
        stored = np.asarray(apply_modality_lut(stored, header)) + WATER
    return np.asarray(np.clip(stored, 0, 2**16 - 1), dtype=np.uint16)


def _turned(levels: np.ndarray, header: Dataset) -> np.ndarray:
    top = 255 if levels.dtype.itemsize == 1 else 2 ** int(header.BitsStored) - 1
    return cast("np.ndarray", top - levels.clip(max=top))
