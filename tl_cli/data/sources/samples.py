"""Image sets that are here already: ``sample:things`` and ``sample:digits``.

Nothing of scikit-learn is imported: its file of digits is found beside its code and read.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from tl_cli.data.manifest import Manifest, Options, Record
from tl_cli.errors import TLError, unknown

SCHEME = "sample:"
DIGITS_TEST_SHARE = 0.2
THINGS_A_TEST = 4  # every fourth is one for the test
THINGS = Path(__file__).parent / "things"

Sample = tuple[str, bytes, str]  # label, the image as the bytes of a file, split


@functools.cache
def _digits() -> tuple[Sample, ...]:
    """Return the 1,797 scanned digits of scikit-learn: 8x8 grey, white on black, as PGM files.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its
    test set); pixels 0..16 are scaled to 0..255.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise TLError("sample:digits needs scikit-learn", "pip install scikit-learn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    rows = gzip.decompress(file.read_bytes()).decode("ascii").split()
    return tuple(_pgm([round(float(cell)) for cell in row.split(",")]) for row in rows)


def _pgm(row: list[int]) -> Sample:
    *pixels, label = row
    image = b"P5 8 8 255\n" + bytes(round(p * 255 / 16) for p in pixels)
    share = hashlib.blake2b(image, digest_size=8).digest()[0] / 256
    return str(label), image, "test" if share < DIGITS_TEST_SHARE else "train"


@functools.cache
def _things() -> tuple[Sample, ...]:
    """Return photographs of five things, at most 160 px wide and high, as WebP files.

    Source: GCompris 3.1, those in the public domain or CC0; `things/ORIGINS.csv` names the author
    and source of each, `scripts/make_sample.py` made them.
    """
    return tuple(
        (file.parent.name, file.read_bytes(), "train" if i % THINGS_A_TEST else "test")
        for i, file in enumerate(sorted(THINGS.glob("*/*.webp")))
    )


SAMPLES: dict[str, Callable[[], tuple[Sample, ...]]] = {"things": _things, "digits": _digits}


def read(path: str) -> bytes:
    """Return the image file that a path such as ``sample:digits/0042`` stands for."""
    name, _, index = path.removeprefix(SCHEME).partition("/")
    samples = _of(name)
    if not index.isdecimal() or int(index) >= len(samples):
        raise TLError(f"no image '{path}'", f"sample:{name} has the images 0 to {len(samples) - 1}")
    return samples[int(index)][1]


def listed(source: str, options: Options) -> Manifest:
    """List ``sample:NAME``, with a fixed split: a fifth or a fourth is the test set."""
    name = source.removeprefix(SCHEME)
    records = [
        Record(f"{SCHEME}{name}/{i:04d}", label, split)
        for i, (label, _, split) in enumerate(_of(name))
    ]
    return Manifest(source, (), tuple(records))


def _of(name: str) -> tuple[Sample, ...]:
    if name not in SAMPLES:
        raise unknown("sample", name, SAMPLES)
    return SAMPLES[name]()
