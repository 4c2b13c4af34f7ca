"""One share of a pass: the images that are its own, into tables of its own, marked when done.

A pure function of (network, images, tables wanted, share) and the folder that all shares see:
whoever calls it (a shell, a job array, a Ray worker) schedules, and nothing here does. All shares
together hold, to the bit, the rows that one process makes; whoever extracts features afterwards
finds them (see `extraction`). Knows nothing of heads and plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tl_cli.data.manifest import Record
from tl_cli.engine.features import extraction
from tl_cli.engine.features.spec import FeatureSpec
from tl_cli.engine.networks.loading import Backbone
from tl_cli.errors import TLError
from tl_cli.results.progress import OnProgress, silent
from tl_cli.store import cache_folder, shards
from tl_cli.store.shards import Shard


@dataclass(frozen=True)
class Pass:
    """Images that pass the network together for some tables, as one `extract` would have it."""

    records: Sequence[Record]
    wanted: Sequence[FeatureSpec]
    stage: str = "features"


@dataclass(frozen=True)
class ShardDone:
    """What a share came to."""

    images: int  # of the share
    passed: int  # of them, those that passed the network now
    finished: tuple[int, ...]  # the shares of this count that are done by now


def once(passes: Sequence[Pass]) -> list[Pass]:
    """Return the passes with each image once, in the first that it is in."""
    seen: set[str] = set()
    found = []
    for each in passes:
        unique = {r.digest: r for r in each.records if r.digest not in seen}
        seen |= unique.keys()
        found.append(Pass(list(unique.values()), each.wanted, each.stage))
    return found


def parts(passes: Sequence[Pass], shard: Shard) -> list[Pass]:
    """Return a share of each of the passes that `once` gave.

    Batches are those that one process makes, so that a row is computed in the same company.
    """
    batch = extraction.BATCH
    return [Pass(shard.part(p.records, batch), p.wanted, p.stage) for p in passes]


def extract_shard(
    backbone: Backbone,
    passes: Sequence[Pass],
    shard: Shard,
    *,
    on_progress: OnProgress = silent,
) -> ShardDone:
    """Compute the rows of one share that are nowhere yet, and mark the share as done.

    A share that was cut off goes on where it was; one that is done costs nothing, and two processes
    at one share take turns. Raises TLError where there is no folder for it, or where an image
    changed, OSError where the folder is full.
    """
    if not cache_folder.usable():
        raise TLError(
            "shards lie in the cache, and it cannot be used",
            "name a folder that all machines see in the environment variable TL_CACHE",
        )
    images = passed = 0
    places: dict[str, Path] = {}
    for own in parts(once(passes), shard):
        tables = extraction.tables_of(backbone, own.wanted, shard)
        lacking = [r for r in own.records if any(r.digest not in t.index for t in tables)]
        images, passed = images + len(own.records), passed + len(lacking)
        extraction.into(backbone, own.records, own.wanted, tables, own.stage, on_progress)
        places |= {table.name: table.folder for table in tables}
    for folder in places.values():
        shards.finish(folder, images)
    return ShardDone(images, passed, finished(backbone, passes, shard.count))


def finished(backbone: Backbone, passes: Sequence[Pass], count: int) -> tuple[int, ...]:
    """Return the shares of `count` that are done for every table."""
    keys = {spec.key(backbone) for each in passes for spec in each.wanted}
    done = [set(shards.counts(key).get(count, ())) for key in sorted(keys)]
    return tuple(sorted(set.intersection(*done))) if done else ()
