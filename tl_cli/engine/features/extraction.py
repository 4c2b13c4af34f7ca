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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from tl_cli.data.manifest import Record
from tl_cli.engine.features.full_precision import FullPrecision, full_precision
from tl_cli.engine.features.spec import PLAIN, FeatureSpec, View
from tl_cli.engine.images import augmentation, image_store
from tl_cli.engine.networks import graph
from tl_cli.engine.networks.loading import Backbone
from tl_cli.errors import TLError
from tl_cli.humanize import size as told_size
from tl_cli.machine import available_memory
from tl_cli.results.progress import Note, OnProgress, Progress, silent
from tl_cli.store import about_entry, cache, cache_folder, shards
from tl_cli.store.joined_tables import JoinedTable
from tl_cli.store.rows import MemoryTable, Rows, Table
from tl_cli.store.shards import Shard

if TYPE_CHECKING:
    from tl_cli.store.rows import Append

KeptTable = Table | JoinedTable
AnyTable = KeptTable | MemoryTable

KIND = "features"
BATCH = 32
CLIPPED = "clipped"  # the file in a table's folder that says so
OVERFLOW = (
    "Some features are beyond what float16 can hold (65,504) and were cut off there: "
    "--feature-dtype float32 keeps them as they are."
)


def network(backbone: Backbone, wanted: Sequence[FeatureSpec], *, fold: bool = True) -> keras.Model:
    """Return the network from images [batch, size, size, 3] to one row for each table wanted.

    `fold`: whether BatchNorm may be folded away, which rounds otherwise. It computes in float32
    whatever the policy of the training: rows are the same under each.
    """
    ends = sorted({end for each in wanted for end in each.ends})
    # what enters a BatchNorm, which moments are taken of, is not computed where it is folded away
    fold = fold and not any(each.moments for each in wanted)
    with full_precision(backbone.model):
        found = graph.feature_extractor(backbone.model, ends, fold=fold).outputs if ends else []
        at = dict(zip(ends, found, strict=True))
        outputs = [each.output(backbone, at) for each in wanted]
        return FullPrecision(keras.Model(backbone.model.inputs, outputs, name="features"))


def _network_at_hand(
    backbone: Backbone, wanted: Sequence[FeatureSpec], *, fold: bool
) -> keras.Model:
    """Return `network`, the one of the last pass where it gives the same: views are traced once.

    It shares the backbone's weights, and gives what they make of an image now.
    """
    key = (fold, *(replace(each, view=PLAIN, dtype="") for each in wanted))
    if key not in backbone.last_pass:
        backbone.last_pass.clear()
        backbone.last_pass[key] = network(backbone, wanted, fold=fold)
    return backbone.last_pass[key]


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
    for all tables that lack them. With `keep` False, or where the cache cannot be used, the rows go
    with the process. Raises TLError where an image can no longer be read or is not what its digest
    says, OSError where there is no room anywhere.
    """
    job = _Job(backbone, records, wanted, stage, on_progress)
    tables = tables_of(backbone, wanted) if keep else []
    lacking = [table for table in tables if job.lacking(table)]
    if missing := next((m for t in lacking if (m := shards.missing(t.folder.name))), ""):
        on_progress(Note(f"{missing}: what is missing passes here", warning=True))
    if tables and (cache_folder.takes_more() or not lacking):
        try:
            rows = job.complete(tables)
            _note(tables, backbone, records, wanted)
            cache.tidy(keep=[table.folder for table in tables])
            return rows
        except OSError as error:  # full, read-only, evicted, or its writer is stuck
            cache_folder.trouble(error)
    return job.without_cache(tables)


def into(
    backbone: Backbone,
    records: Sequence[Record],
    wanted: Sequence[FeatureSpec],
    tables: Sequence[KeptTable],
    stage: str,
    on_progress: OnProgress,
) -> None:
    """Have these tables hold the rows of these images: as `extract`, but nowhere else."""
    if records:
        _Job(backbone, records, wanted, stage, on_progress).complete(tables)
        _note(tables, backbone, records, wanted)


def _note(
    tables: Sequence[KeptTable],
    backbone: Backbone,
    records: Sequence[Record],
    wanted: Sequence[FeatureSpec],
) -> None:
    """Note in each table of which data and which network it is."""
    data = about_entry.data_of(record.path for record in records)
    network = f"{backbone.card.name} at {backbone.image_size} px"
    for table, each in zip(tables, wanted, strict=True):
        about_entry.note(table.folder, data, f"{network}{each.view.words}")


def _places(backbone: Backbone, wanted: Sequence[FeatureSpec]) -> list[tuple[Path, int, str]]:
    """Return the folder, width and dtype of each table in the cache; none where there is none."""
    if not cache_folder.usable():
        return []
    try:
        root = cache_folder.kind_folder(KIND)
    except OSError as error:
        cache_folder.trouble(error)
        return []
    return [(root / each.key(backbone), each.width(backbone), each.dtype) for each in wanted]


def tables_of(
    backbone: Backbone, wanted: Sequence[FeatureSpec], shard: Shard | None = None
) -> list[KeptTable]:
    """Return each table as it is kept, the shards of it that are done included; none without cache.

    What is appended goes to the table itself, or with `shard` to that one's own.
    """
    found: list[KeptTable] = []
    for place in _places(backbone, wanted):
        table, key = Table(*place), place[0].name
        if shard:
            own = Table(shards.place(key, shard), *place[1:])
            found.append(shards.joined(own, key, table))
        else:
            found.append(shards.joined(table, key))
    return found


def kept(backbone: Backbone, spec: FeatureSpec) -> Collection[str]:
    """Return the digests of the images whose rows of a table are kept."""
    return [digest for table in tables_of(backbone, [spec]) for digest in table.index]


@dataclass(frozen=True)
class _Job:
    """Which rows of which images are to be had."""

    backbone: Backbone
    records: Sequence[Record]
    wanted: Sequence[FeatureSpec]
    stage: str
    on_progress: OnProgress

    @property
    def digests(self) -> list[str]:
        return [record.digest for record in self.records]

    def complete(self, tables: Sequence[AnyTable]) -> list[Rows]:
        """Return the rows from these tables; what they lack, or what is damaged, is computed."""
        for table in tables:
            table.check(self.digests)
        self.fill(tables)
        rows = [table.rows(self.digests) for table in tables]
        if any(table.noted(CLIPPED) for table in tables):
            self.on_progress(Note(OVERFLOW, warning=True))
        return rows

    def without_cache(self, kept: Sequence[KeptTable]) -> list[Rows]:
        """Return the rows from tables that go with the process; what is kept is not made again."""
        with contextlib.ExitStack() as stack:
            tables = self.spare_tables(stack)
            for table, source in zip(tables, kept, strict=False):
                _copy(source, table, self.digests)
            return self.complete(tables)

    def spare_tables(self, stack: contextlib.ExitStack) -> Sequence[AnyTable]:
        """Return empty tables in memory, or else in a temporary folder.

        That folder may go at once: a mapped file stays readable.
        """
        images = len(set(self.digests))
        shapes = [(each.width(self.backbone), each.dtype) for each in self.wanted]
        need = sum(images * width * np.dtype(dtype).itemsize for width, dtype in shapes)
        if need <= image_store.MEMORY_SHARE * available_memory():
            return [MemoryTable(images, *shape) for shape in shapes]
        try:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tl-features-")))
        except OSError as error:
            raise TLError(
                f"there is no room for {told_size(need)} of features: no cache, no memory and no "
                "temporary folder",
                "name a folder for the cache in TL_CACHE, or a temporary one in TMPDIR",
            ) from error
        return [Table(root / str(i), *shape) for i, shape in enumerate(shapes)]

    def fill(self, tables: Sequence[AnyTable]) -> None:
        """Compute what the tables lack, one process at a time."""
        pairs = list(zip(self.wanted, tables, strict=True))
        with contextlib.ExitStack() as stack:
            # always locked in the same order, so that two processes cannot wait for each other
            pairs = [pair for pair in pairs if self.lacking(pair[1])]
            ordered = sorted(pairs, key=lambda pair: pair[1].name)
            writers = [(w, t, stack.enter_context(t.writing())) for w, t in ordered]
            # another process may have made them while this one waited for its turn
            lacking = [writer for writer in writers if self.lacking(writer[1])]
            missing = {
                r.digest: r
                for r in self.records
                if any(r.digest not in t.index for _, t, _ in lacking)
            }
            if missing:
                self.compute(list(missing.values()), lacking)

    def lacking(self, table: AnyTable) -> bool:
        """Return whether the table lacks any row."""
        return any(digest not in table.index for digest in self.digests)

    def compute(
        self, todo: Sequence[Record], writers: Sequence[tuple[FeatureSpec, AnyTable, Append]]
    ) -> None:
        """Pass these images through the network, once for all tables."""
        # by what is wanted, not by what is lacking: a pass that was cut off goes on with the bits
        # that it would have had, whichever table was ahead
        fold = not any(wanted.moments for wanted in self.wanted)
        lacking = [wanted for wanted, _, _ in writers]
        model = _network_at_hand(self.backbone, lacking, fold=fold)
        done = 0
        for chunk, images in _batches(todo, self.backbone.image_size, self.wanted[0].view):
            outputs = _predict(model, images)
            for (_, table, append), values in zip(writers, outputs, strict=True):
                new = [i for i, r in enumerate(chunk) if r.digest not in table.index]
                append([chunk[i].digest for i in new], _storable(values[new], table))
            done += len(chunk)
            self.on_progress(Progress(self.stage, done, len(todo)))


def _copy(source: KeptTable, target: AnyTable, digests: Sequence[str]) -> None:
    """Copy the rows of images that one table has to another one, as far as they can be read."""
    try:
        order, mapped = source.find(digests)
    except OSError:
        return
    row_of = {digest: row for digest, row in zip(digests, order.tolist(), strict=True) if row >= 0}
    names = list(row_of)
    with target.writing() as append:
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            append(some, mapped[[row_of[name] for name in some]])
    if source.noted(CLIPPED):
        target.note(CLIPPED)


def _batches(
    records: Sequence[Record], size: int, view: View
) -> Iterator[tuple[Sequence[Record], np.ndarray]]:
    """Yield records and images float32 [BATCH, size, size, 3]; the next batch is made meanwhile.

    The last batch is padded with its first image, so that the network is traced for one shape.
    """
    store = image_store.store(records, size, memory=0, disk=0, exact=True)

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


def _storable(values: np.ndarray, table: AnyTable) -> np.ndarray:
    """Return rows float32 [n, width] within what the table's dtype can hold; note it where not."""
    most = np.finfo(table.dtype).max
    if table.dtype == values.dtype or np.abs(values).max(initial=0) <= most:
        return values
    table.note(CLIPPED)
    return np.clip(values, -most, most)


def _predict(model: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    outputs = model.predict_on_batch(images)
    return outputs if isinstance(outputs, list) else [outputs]
