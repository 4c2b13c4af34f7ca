"""Small images made on the spot, for all tests."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ImageFolder = Callable[..., Path]


def picture(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Return an RGB image (width x height) of smooth random colours, another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def image_folder(tmp_path: Path) -> ImageFolder:
    """Return a maker of DIR/<class>/NN.png, or DIR/<under>/<class>/NN.png; all images differ."""
    made = iter(range(1_000_000))

    def make(
        classes: Sequence[str] = ("cat", "dog"),
        n: int = 4,
        size: tuple[int, int] = (24, 16),
        under: str = "",
    ) -> Path:
        for name in classes:
            folder = tmp_path / "data" / under / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                picture(next(made), size).save(folder / f"{i:02d}.png")
        return tmp_path / "data"

    return make


@pytest.fixture(autouse=True, scope="module")
def networks_go() -> Iterator[None]:
    """Give back what a file's networks and graphs took: they refer to each other in circles."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
    with contextlib.suppress(AttributeError):  # glibc's own
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache out of every test, and every test out of the others' cache."""
    monkeypatch.setenv("TL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(image_folder: ImageFolder) -> Path:
    """Return DIR with cat/00.png … dog/03.png."""
    return image_folder()


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    """Write a table into the folder; return its path."""
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.fixture(scope="module")
def loaded_once():
    """Load each checkpoint once for all tests of a module: that is what takes their time."""
    from tl_cli.engine import predict

    whole = predict.load_checkpoint
    predict.load_checkpoint = functools.cache(whole)
    yield
    predict.load_checkpoint = whole
