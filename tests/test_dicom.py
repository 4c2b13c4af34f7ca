"""DICOM files: what a viewer shows of them, whom they name, and what cannot be read."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from conftest import picture
from tl_cli.data import decode, grey_levels
from tl_cli.data.inspection.findings import found
from tl_cli.data.manifest import Record
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_splits
from tl_cli.errors import TLError

REAL = Path(pydicom.__file__).parent / "data" / "test_files"  # pydicom ships them


def written(path: Path, levels: np.ndarray, syntax=ExplicitVRLittleEndian, **header) -> Record:
    """Write levels [h, w] or [h, w, 3] as a DICOM file, with some more of its header."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.Rows, data.Columns = levels.shape[:2]
    data.SamplesPerPixel = 3 if levels.ndim == 3 else 1
    if levels.ndim == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = "RGB" if levels.ndim == 3 else "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * levels.dtype.itemsize
    data.PixelRepresentation = int(levels.dtype.kind == "i")
    for name, value in header.items():
        setattr(data, name, value)
    data.HighBit = data.BitsStored - 1
    data.PixelData = levels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return Record(str(path), "")


def shown(record: Record) -> np.ndarray:
    return np.asarray(decode.open_rgb(record))[..., 0]


def ramp(low: int, high: int, dtype=np.uint16) -> np.ndarray:
    return np.linspace(low, high, 64).round().astype(dtype).reshape(8, 8)


def test_an_image_is_shown_through_its_window(tmp_path):
    """PS3.3 C.11.2.1.2: of centre 40 and width 400 after slope and intercept, -160 to 239 HU."""
    stored = np.array([[0, 864, 1024, 1064, 1263, 4000]], np.uint16)  # -1024 -160 0 40 239 2976 HU
    window = {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 1, "RescaleIntercept": -1024}
    record = written(tmp_path / "a.dcm", stored, **window)
    assert shown(record)[0].tolist() == [0, 0, 102, 128, 255, 255]
    with_slope = window | {"RescaleSlope": 0.5}  # 2048 * 0.5 - 1024 = 0 HU
    record = written(tmp_path / "b.dcm", np.array([[2048]], np.uint16), **with_slope)
    assert shown(record)[0].tolist() == [102]


def test_an_inverted_image_is_turned(tmp_path):
    plain = written(tmp_path / "a.dcm", ramp(0, 255, np.uint8))
    other = written(
        tmp_path / "b.dcm", ramp(0, 255, np.uint8), PhotometricInterpretation="MONOCHROME1"
    )
    assert (shown(plain) == 255 - shown(other)).all()
    assert shown(plain)[0, 0] == 0
    assert shown(plain)[-1, -1] == 255


def test_without_a_window_levels_are_scaled_by_what_the_data_set_holds(tmp_path):
    bright = written(tmp_path / "data" / "a" / "0.dcm", ramp(0, 4095), BitsStored=12)
    dark = written(tmp_path / "data" / "b" / "0.dcm", ramp(0, 1000), BitsStored=12)
    records = scan(str(tmp_path / "data")).records
    assert grey_levels.held(records) == 12
    grey_levels.use(12)
    try:
        assert (shown(bright).max(), shown(dark).max()) == (255, 62)  # 1000 * 255 / 4095
    finally:
        grey_levels.use(None)


def test_units_of_hounsfield_begin_at_air(tmp_path):
    ct = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": 0}
    record = written(tmp_path / "a.dcm", ramp(-2000, 3071, np.int16), **ct)
    assert (shown(record).min(), shown(record).max()) == (0, 255)
    water = written(tmp_path / "b.dcm", np.array([[0, 3071]], np.int16), **ct)
    assert shown(water)[0].tolist() == [64, 255]  # 1024 and 4095 of 4095


def test_colours_are_those_of_the_file(tmp_path):
    pixels = np.asarray(picture(3, (20, 10)))
    record = written(tmp_path / "a.dcm", pixels)
    assert (np.asarray(decode.open_rgb(record)) == pixels).all()
    palette = decode.open_rgb(Record(str(REAL / "examples_palette.dcm"), ""))
    assert palette.size == (800, 350)
    assert np.ptp(np.asarray(palette), axis=-1).max() > 50  # colours, not levels


def test_files_that_other_programs_wrote_are_read_or_say_why_not():
    reasons = {}
    for path in sorted(REAL.glob("*.dcm")):
        try:
            assert np.asarray(decode.open_rgb(Record(str(path), ""))).shape[2] == 3
        except TLError as error:
            reasons[path.name] = str(error).rpartition("' ")[2]
    assert len(list(REAL.glob("*.dcm"))) - len(reasons) > 40
    assert reasons["MR_truncated.dcm"] == "is damaged"
    assert reasons["image_dfl.dcm"].startswith("is a deflated DICOM file")
    assert reasons["test-SR.dcm"] == "is DICOM without an image (SR)"
    assert "needs another decoder" in reasons["JPEGLSNearLossless_08.dcm"]
    compressed, plain = (
        shown(Record(str(REAL / f"MR_small{kind}.dcm"), "")) for kind in ("_RLE", "")
    )
    assert (compressed == plain).all()


def test_what_would_take_all_memory_is_refused(tmp_path):
    wide = written(tmp_path / "a.dcm", ramp(0, 255, np.uint8), Rows=60_000, Columns=60_000)
    with pytest.raises(TLError, match=r"decompression bomb \(3,600,000,000 pixels\)"):
        decode.open_rgb(wide)
    deflated = written(tmp_path / "b.dcm", ramp(0, 9), syntax=DeflatedExplicitVRLittleEndian)
    with pytest.raises(TLError, match="deflated"):
        decode.open_rgb(deflated)


def of_patients(folder: Path, *patients: str) -> Path:
    """Two images of each patient in each of two classes; all images differ."""
    random = np.random.default_rng(0)
    for name in ("ill", "well"):
        for i, patient in enumerate(patients):
            for view in "ab":
                levels = random.integers(0, 255, (16, 16), dtype=np.uint8)
                path = folder / name / f"{i}{view}.dcm"
                written(path, levels, PatientID=f"{patient}{name}" if patient else "")
    return folder


def test_images_of_one_patient_never_part_and_nobody_is_named(tmp_path):
    cache = tmp_path / "cache"
    for _ in range(2):  # looked at, and remembered
        scanned = scan(str(of_patients(tmp_path / "data", *"ABCDEF")), cache=cache)
        groups = {record.group for record in scanned.records}
        assert len(groups) == 12
        assert not any("ill" in group or "well" in group for group in groups)
    sides: dict[str, set[str]] = {}
    for record in assign_splits(scanned, val=0.3, test=0.2, seed=1).records:
        sides.setdefault(record.group, set()).add(record.split)
    assert all(len(of) == 1 for of in sides.values())
    [finding] = [f for f in found(scanned, None, "", (), ()) if f.kind == "patients"]
    assert finding.text == "the files name 12 patients"


def test_a_name_that_removing_names_has_left_is_no_patient(tmp_path):
    folder = of_patients(tmp_path / "data", *"ABC")
    for path in folder.glob("*/*"):
        data = pydicom.dcmread(path)
        data.PatientID = "ANONYMOUS"
        data.save_as(path)
    assert {record.group for record in scan(str(folder)).records} == {""}


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    record = written(tmp_path / "a.dcm", ramp(0, 255, np.uint8))
    monkeypatch.setattr(decode, "_formats", lambda: tuple(decode.FORMATS))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TLError, match=r"is DICOM, which needs pydicom \(pip install pydicom\)"):
        decode.open_rgb(record)
