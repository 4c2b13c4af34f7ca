"""Which training images of a run are most alike to others: exact, by cosine.

Knows nothing of how they are shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from tl_cli.data.manifest import TASKS
from tl_cli.data.packed import file_of
from tl_cli.data.sources.samples import SCHEME
from tl_cli.engine import predict
from tl_cli.engine.features import neighbours
from tl_cli.engine.features.neighbours import Nearest
from tl_cli.errors import TLError
from tl_cli.results.explanations import Neighbour
from tl_cli.results.progress import OnProgress
from tl_cli.results.search import Match, SearchResult
from tl_cli.store.run_dir import RunDir

BATCH = 16


def load(run: RunDir, on_progress: OnProgress) -> Nearest:
    """Return a run's training images, ready to be searched; says which are gone.

    Raises TLError where nothing of them is left, and as `neighbours.load`.
    """
    nearest = neighbours.load(run, predict.load_checkpoint(run, TASKS).backbone, on_progress)
    if not nearest.records:
        raise TLError(
            f"the training images of {run.path} are gone, and nothing of them is kept",
            "put them back where they were, or train again on what there is now",
        )
    return nearest


def search(nearest: Nearest, paths: Sequence[str], top: int) -> Iterator[SearchResult]:
    """Yield the `top` training images most alike to each image, or what is wrong with it."""
    for chunk, images in predict.opened_images(paths, nearest.backbone.image_size, BATCH):
        good = [image for image in images if not isinstance(image, str)]
        found = iter(nearest.of(np.stack(good).astype("float32"), top) if good else ())
        for path, image in zip(chunk, images, strict=True):
            if isinstance(image, str):
                yield SearchResult(path, error=image)
            else:
                yield SearchResult(path, tuple(map(_match, next(found))))


def _match(near: Neighbour) -> Match:
    there = near.path.startswith(SCHEME) or os.path.isfile(file_of(near.path))  # noqa: PTH113
    return Match(**asdict(near), gone=not there)
