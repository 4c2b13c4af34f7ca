"""Rows that are kept on disk are named by a version: it is raised when their code's outputs change.

The figures in data/features_reference.json are written by `python tests/test_features_version.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reference_images import reference_images
from tiny import tiny_backbone
from tl_cli.catalog import PREPROCESSING
from tl_cli.data.decode import DECODE_VERSION, open_rgb, squash
from tl_cli.data.manifest import Record
from tl_cli.engine.features import PLAIN, FeatureSpec, View, batchnorm_shift, extraction
from tl_cli.engine.features.spec import FEATURES_VERSION
from tl_cli.engine.images import augmentation
from tl_cli.engine.images.augmentation import LEVELS, OPERATIONS
from tl_cli.engine.networks.loading import Backbone, preprocessed
from tl_cli.engine.networks.pooling import POOLINGS

REFERENCE = Path(__file__).parent / "data" / "features_reference.json"
SIZE = 32
KEPT = 150  # numbers of each output that are compared
# As a share of the output's range. Rounding differs from CPU to CPU, and where an image is rounded
# to fewer levels a pixel may then fall on the other side: of the numbers a few may differ.
TOLERANCE, AGREEING = 2e-3, 0.95
VIEWS = {
    "plain": PLAIN,
    "flip": View(flip=True),
    **{name: View(1, name, mirror=True, seed=3) for name in LEVELS},
    "second": View(2, "light", seed=3),
}
FILES = {
    "rgb.png": lambda image: image,
    "palette.png": lambda image: image.quantize(16, dither=Image.Dither.NONE),
    "deep.png": lambda image: Image.fromarray(
        np.asarray(image.convert("L")).astype("uint16") * 257
    ),
    "clear.png": lambda image: with_alpha(image),
    "photo.jpg": lambda image: image.resize((192, 128)),
    "turned.jpg": lambda image: image.resize((192, 128)),
}


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(image.getchannel("R"))
    return image


def pictures() -> np.ndarray:
    """Return uint8 [3, SIZE, SIZE, 3], the same numbers everywhere."""
    return reference_images(SIZE).astype("uint8")


def images() -> np.ndarray:
    return pictures().astype("float32")


def backbone() -> Backbone:
    """Return a backbone whose weights come from no generator of random numbers."""
    made = tiny_backbone()
    for k, weight in enumerate(made.model.weights):
        wave = np.cos(np.arange(np.prod(weight.shape)) * (0.7 + 0.1 * k))
        scale = 0.5 if len(weight.shape) > 1 else 0.2
        centre = 1.0 if weight.name in ("gamma", "moving_variance") else 0.0
        weight.assign((centre + scale * wave).reshape(weight.shape))
    return made


def outputs(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the outputs of everything that rows on disk are made by."""
    yield from decoded(folder)
    for name in PREPROCESSING:
        yield f"preprocessing {name}", np.asarray(preprocessed(images(), name))
    many = np.tile(pictures(), (4, 1, 1, 1))
    records = [Record(f"{i}.png", "a", digest=f"{7**i:032x}") for i in range(len(many))]
    for name, view in VIEWS.items():
        yield f"view {name}", extraction._augmented(many, records, view)
    strength = np.array([0.1, 0.4, 0.9], "float32")
    for name, operation in OPERATIONS.items():
        yield f"operation {name}", np.asarray(operation(images(), strength))
    draws = augmentation._columns(augmentation.draw(3, seed=3, epoch=1))
    erased = np.asarray(augmentation._erase(images(), draws, 1.0))
    # where, by row and column: a border that moves changes few pixels
    changed = np.abs(erased - images()) > 0.5
    yield "erased place", np.stack([changed.mean((1, 3)), changed.mean((2, 3))])
    yield "erased colour", erased
    yield from rows(backbone())


def rows(network: Backbone) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what tables of all kinds hold of the pictures, and what is read off the moments."""
    specs = {
        **{f"pooling {name}": FeatureSpec((2, 6), pooling=name) for name in POOLINGS},
        "thumbnail": FeatureSpec((6,), pixels=True),
        "moments": FeatureSpec(moments=True),
        "whole row": FeatureSpec((6,), 5, pixels=True, moments=True),
    }
    for name, spec in specs.items():
        yield name, extraction.network(network, [spec]).predict_on_batch(images())
    moments = extraction.network(network, [specs["moments"]]).predict_on_batch(images())
    yield "batchnorm shift", batchnorm_shift.distances(network.model, moments)


def decoded(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what image files of several kinds are decoded to."""
    for i, (name, change) in enumerate(FILES.items()):
        image = change(Image.fromarray(reference_images(96)[i % 3].astype("uint8")))
        exif = Image.Exif()
        exif[0x0112] = 6 if "turned" in name else 1
        more = {"quality": 95, "subsampling": 0, "exif": exif} if name.endswith("jpg") else {}
        image.save(folder / name, **more)
        yield f"decode {name}", np.asarray(squash(open_rgb(Record(str(folder / name), "a")), SIZE))


def sample(values: np.ndarray) -> list[float]:
    """Return KEPT numbers from all over an array, to four digits of its range."""
    flat = np.asarray(values, "float64").reshape(-1)
    chosen = flat[np.unique(np.linspace(0, len(flat) - 1, KEPT).astype(int))]
    return [float(f"{value:.5g}") for value in chosen]


def agree(values: list[float], reference: list[float]) -> bool:
    if len(values) != len(reference):
        return False
    one, other = np.array(values), np.array(reference)
    allowed = TOLERANCE * max(1e-3, np.ptp(other), np.abs(other).max())
    return bool(np.mean(np.abs(one - other) <= allowed) >= AGREEING)


def test_what_makes_rows_has_not_changed_since_their_version(tmp_path: Path) -> None:
    reference = json.loads(REFERENCE.read_text())
    assert (reference["features"], reference["decode"]) == (FEATURES_VERSION, DECODE_VERSION), (
        f"write the figures of the new version: python {Path(__file__).name}"
    )
    found = {name: sample(values) for name, values in outputs(tmp_path)}
    assert found.keys() == reference["outputs"].keys(), "raise FEATURES_VERSION if rows change"
    for name, values in found.items():
        version = "DECODE_VERSION" if name.startswith("decode") else "FEATURES_VERSION"
        assert agree(values, reference["outputs"][name]), f"{name} has changed: raise {version}"


@pytest.mark.parametrize("change", [1.01, -1.0])
def test_a_change_is_noticed_and_rounding_is_not(change: float) -> None:
    values = sample(pictures())
    assert agree([value * 1.0001 for value in values], values)
    assert agree([values[0] + 30, *values[1:]], values)
    assert not agree([value * change for value in values], values)
    assert not agree(values[:-1], values)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        made = {name: sample(values) for name, values in outputs(Path(folder))}
    text = json.dumps(
        {"features": FEATURES_VERSION, "decode": DECODE_VERSION, "outputs": made}, indent=None
    )
    REFERENCE.write_text(text.replace('], "', '],\n"') + "\n")
    sys.stdout.write(f"wrote {len(made)} outputs to {REFERENCE}\n")
