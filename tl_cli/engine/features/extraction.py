"""images -> what the frozen prefix makes of them, computed once per image, kept on disk.

One table a (backbone, cut, view): rows keyed by the content of the image, appended as they are
computed, so that a pass that was killed goes on where it was, new images cost only themselves, and
every later run reads. Knows nothing of heads and plans.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np

from tl_cli.data.manifest import Record
from tl_cli.engine.features.full_precision import FullPrecision, full_precision
from tl_cli.engine.features.spec import PLAIN, FeatureSpec, View
from tl_cli.engine.images import augmentation, image_store
from tl_cli.engine.networks import graph
from tl_cli.engine.networks.loading import Backbone
from tl_cli.results.progress import Note, OnProgress, Progress, silent
from tl_cli.store import cache
from tl_cli.store.rows import Rows, Table

KIND = "features"
BATCH = 32
CLIPPED = "clipped"  # the file in a table's folder that says so
OVERFLOW = (
    "Some features are beyond what float16 can hold (65,504) and were cut off there: "
    "--feature-dtype float32 keeps them as they are."
)


def network(backbone: Backbone, wanted: Sequence[FeatureSpec]) -> keras.Model:
    """Return the network from images [batch, size, size, 3] to one row for each table wanted.

    It computes in float32 whatever the policy of the training: rows are the same under each.
    """
    ends = sorted({end for each in wanted for end in each.ends})
    # what enters a BatchNorm, which moments are taken of, is not computed where it is folded away
    fold = not any(each.moments for each in wanted)
    with full_precision(backbone.model):
        found = graph.feature_extractor(backbone.model, ends, fold=fold).outputs if ends else []
        at = dict(zip(ends, found, strict=True))
        outputs = [each.output(backbone, at) for each in wanted]
        return FullPrecision(keras.Model(backbone.model.inputs, outputs, name="features"))


def extract(
    backbone: Backbone,
    records: Sequence[Record],
    wanted: Sequence[FeatureSpec],
    *,
    keep: bool = True,
    stage: str = "features",
    on_progress: OnProgress = silent,
) -> list[Rows]:
    """Return one Rows [len(records), ...] for each table wanted, all of the same view.

    Images that have their row already are not opened; the others pass the network once, together
    for all tables that lack them. With `keep` False, or where the cache cannot be written, the
    rows go with the process. Raises TLError where an image can no longer be read.
    """
    digests = [record.digest for record in records]
    names = [each.key(backbone) for each in wanted]
    with contextlib.ExitStack() as stack:
        root = _root(stack, keep)
        tables = [
            Table(root / name, each.width(backbone), each.dtype)
            for name, each in zip(names, wanted, strict=True)
        ]
        if any(digest not in table.index for table in tables for digest in digests):
            _fill(backbone, records, list(zip(wanted, tables, strict=True)), stage, on_progress)
        rows = [table.rows(digests) for table in tables]
        if any((table.folder / CLIPPED).exists() for table in tables):
            on_progress(Note(OVERFLOW, warning=True))
    cache.evict(keep=[table.folder for table in tables])
    return rows


def kept(backbone: Backbone, spec: FeatureSpec) -> Collection[str]:
    """Return the digests of the images whose rows of a table are kept."""
    with contextlib.suppress(OSError):  # a cache that cannot be used holds nothing
        folder = cache.folder() / KIND / spec.key(backbone)
        return Table(folder, spec.width(backbone), spec.dtype).index.keys()
    return ()


def _root(stack: contextlib.ExitStack, keep: bool) -> Path:
    """Return where tables lie. A temporary folder may go at once: a mapped file stays readable."""
    if keep:
        with contextlib.suppress(OSError):
            root = cache.folder() / KIND
            root.mkdir(exist_ok=True)
            return root
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tl-features-")))


def _fill(
    backbone: Backbone,
    records: Sequence[Record],
    pairs: Sequence[tuple[FeatureSpec, Table]],
    stage: str,
    on_progress: OnProgress,
) -> None:
    """Compute what the tables lack, one process at a time."""
    with contextlib.ExitStack() as stack:
        # always locked in the same order, so that two processes cannot wait for each other
        ordered = sorted(pairs, key=lambda pair: pair[1].folder.name)
        writers = [(w, t, stack.enter_context(t.writing())) for w, t in ordered]
        missing = {
            r.digest: r for r in records if any(r.digest not in t.index for _, t, _ in writers)
        }
        todo = list(missing.values())
        if not todo:  # another process made them while this one waited for its turn
            return
        lacking = [
            (w, t, append) for w, t, append in writers if any(r.digest not in t.index for r in todo)
        ]
        model = network(backbone, [wanted for wanted, _, _ in lacking])
        done = 0
        for chunk, images in _batches(todo, backbone.image_size, pairs[0][0].view):
            outputs = _predict(model, images)
            for (_, table, append), values in zip(lacking, outputs, strict=True):
                new = [i for i, r in enumerate(chunk) if r.digest not in table.index]
                append([chunk[i].digest for i in new], _storable(values[new], table))
            done += len(chunk)
            on_progress(Progress(stage, done, len(todo)))


def _batches(
    records: Sequence[Record], size: int, view: View
) -> Iterator[tuple[Sequence[Record], np.ndarray]]:
    """Yield records and images float32 [BATCH, size, size, 3]; the next batch is made meanwhile.

    The last batch is padded with its first image, so that the network is traced for one shape.
    """
    store = image_store.store(records, size, memory=0, disk=0)

    def load(start: int) -> np.ndarray:
        rows = np.arange(start, start + BATCH)
        rows[rows >= len(records)] = start
        return _augmented(store.take(rows), [records[row] for row in rows.tolist()], view)

    with ThreadPoolExecutor(1) as ahead:
        pending = ahead.submit(load, 0) if records else None
        for start in range(0, len(records), BATCH):
            assert pending
            batch = pending.result()
            if start + BATCH < len(records):
                pending = ahead.submit(load, start + BATCH)
            yield records[start : start + BATCH], batch


def _augmented(taken: np.ndarray, records: Sequence[Record], view: View) -> np.ndarray:
    """Return uint8 images as float32, changed as the view says.

    The draw goes by the image's content: a view of an image is the same in whatever company.
    """
    if view == PLAIN:
        return taken.astype("float32")
    if view.flip:
        return taken[:, :, ::-1].astype("float32")
    draws = np.concatenate(
        [
            augmentation.draw(1, view.seed + int(record.digest, 16), view.number)
            for record in records
        ]
    )
    return np.asarray(augmentation.augmented(taken, draws, view.augment, view.mirror))


def images(records: Sequence[Record], size: int) -> np.ndarray:
    """Return the plain images as the network takes them: float32 [n, size, size, 3], 0..255."""
    store = image_store.store(records, size, memory=0, disk=0)
    return store.take(np.arange(len(records))).astype("float32")


def _storable(values: np.ndarray, table: Table) -> np.ndarray:
    """Return rows float32 [n, width] within what the table's dtype can hold; note it where not."""
    most = np.finfo(table.dtype).max
    if table.dtype == values.dtype or np.abs(values).max(initial=0) <= most:
        return values
    (table.folder / CLIPPED).touch()
    return np.clip(values, -most, most)


def _predict(model: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    outputs = model.predict_on_batch(images)
    return outputs if isinstance(outputs, list) else [outputs]
