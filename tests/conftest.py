"""Small images made on the spot, for all tests."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # there is a worker for each core
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, "1")

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

# The files that take longest in either tier, begun first: the last one should not run alone.
LONGEST = (
    "test_readme", "test_cli", "test_export", "test_hub", "test_docs", "test_python_docs",
    "test_from_scratch", "test_resume_epochs", "test_auxiliary_heads", "test_finetune",
    "test_export_recipe", "test_divergence", "test_explain", "test_explain_engine", "test_devices",
    "test_compare", "test_export_use", "test_evaluate", "test_api", "test_graph",
    "test_candidates", "test_cache_faults", "test_predict", "test_embed", "test_multilabel",
    "test_train", "test_images", "test_features", "test_hostile_checkpoints", "test_regression",
    "test_resume", "test_update", "test_rank", "test_timm",
)  # fmt: skip
ImageFolder = Callable[..., Path]
Trained = Callable[..., Path]


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


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `others_long` says is long, and put the longest files first.

    The other files, and the tests of each, stay as they were.
    """
    seen: Counter[str] = Counter()
    for item in items:
        first = item.get_closest_marker("others_long")
        if first and not item.get_closest_marker("slow"):
            test = item.nodeid.split("[")[0]
            seen[test] += 1
            if seen[test] > first.args[0]:
                item.add_marker("long")
    place = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what was imported: it looks for a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def networks_go() -> Iterator[None]:
    """Give back what a file's networks and graphs took: they refer to each other in circles."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
    with contextlib.suppress(AttributeError):  # glibc's own
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True, scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of what is made for several tests, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TL_CACHE", str(tmp_path_factory.mktemp("session_cache")))
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache out of every test, and every test out of the others' cache."""
    monkeypatch.setenv("TL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a small network in the place of each EfficientNet-Lite, whoever names none or that."""
    import small_network
    from tl_cli.engine.networks import loading

    monkeypatch.setitem(loading.SOURCES, "package", small_network.build)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a maker of folders that are made once for the whole suite: nobody changes them.

    The first worker of xdist that needs one makes it; the others wait for it.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # which the workers share

    def make(name: str, write: Callable[[Path], object]) -> Path:
        place, done = base / "once" / name, base / "once" / f"{name}.done"
        place.parent.mkdir(exist_ok=True)
        with FileLock(base / "once" / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(place, ignore_errors=True)  # of a maker that failed
                write(place)
                done.touch()
        return place

    return make


@pytest.fixture(scope="session")
def colours(made_once: Callable[..., Path]) -> Path:
    """Return the photos that shared runs are trained on: nobody changes them."""
    from trained import photos

    return made_once("photos", photos)


@pytest.fixture(scope="module")
def trained_once(
    made_once: Callable[..., Path], colours: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """Return a trainer on `colours` with some options, which trains once for the whole suite.

    What it returns is a copy of the run, the module's own.
    """
    from trained import trained

    def of(*options: object) -> Path:
        name = "run" + " ".join(map(str, options)).replace("--", "").replace(" ", "_")
        whole = made_once(name, lambda place: trained(colours, place, *options))
        return Path(shutil.copytree(whole, tmp_path_factory.mktemp("runs") / "run"))

    return of


@pytest.fixture
def folder(image_folder: ImageFolder) -> Path:
    """Return DIR with cat/00.png … dog/03.png."""
    return image_folder()


def in_turn(first: Sequence[object], others: Sequence[object]) -> list:
    """Return all pairs as parameters: each of `first` with another of `others` in turn.

    The remaining pairs are left to the slow job.
    """
    return [
        pytest.param(each, other, marks=() if (i + j) % len(others) == 0 else pytest.mark.slow)
        for i, each in enumerate(first)
        for j, other in enumerate(others)
    ]


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    """Write a table into the folder; return its path."""
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.fixture(scope="module")
def loaded_once() -> Iterator[None]:
    """Load each checkpoint once for all tests of a module: that is what takes their time.

    What was loaded is traced once, too, for each size of batch.
    """
    from tl_cli.data import decode
    from tl_cli.engine.networks import classifier
    from tl_cli.store import run_dir

    whole, loaded = classifier.load, {}

    def once(run):
        files = [run / name for name in (run_dir.CHECKPOINT, run_dir.WEIGHTS)]
        if not all(file.is_file() for file in files):
            return whole(run)
        written = [(file.stat().st_mtime_ns, file.stat().st_size) for file in files]
        key = str((run.path, written))
        if key not in loaded:
            loaded[key] = whole(run)
        decode.use(loaded[key][1])  # as loading does
        return loaded[key]

    classifier.load = once
    yield
    classifier.load = whole
