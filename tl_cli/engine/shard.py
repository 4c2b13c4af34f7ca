"""`--shard`: one share of the pass that a training or an embedding begins with, and no more.

Any scheduler may call it, in any order and as often as it likes: see features/shards.py. Never
prints.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tl_cli.catalog import Card
from tl_cli.config import RunConfig
from tl_cli.data import channels
from tl_cli.data.manifest import Manifest, Record
from tl_cli.engine import embed, evidence
from tl_cli.engine.context import RunContext, prepare
from tl_cli.engine.features.shards import Pass, extract_shard
from tl_cli.engine.head import choice
from tl_cli.engine.networks.loading import Backbone
from tl_cli.results.progress import OnProgress, silent
from tl_cli.results.shard import ShardResult
from tl_cli.store.run_dir import RunDir
from tl_cli.store.shards import Shard


class Work(Protocol):
    """What images are to pass which network for: it travels, and is opened where it is done."""

    def opened(self) -> tuple[Backbone, list[Pass]]:
        """Load the network, and return the passes in the order of one process."""


@dataclass(frozen=True)
class TrainingWork:
    """The passes that `tl train` begins with."""

    config: RunConfig
    manifest: Manifest
    room: int | None = None  # bytes of features that may be kept; None: as measured here

    def opened(self) -> tuple[Backbone, list[Pass]]:
        channels.use(self.config.bands())  # of this process, which may be a worker's
        context = prepare(self.config, self.manifest)
        if self.room is not None:  # another machine's disk would change what is kept
            context = replace(context, room=self.room)
        return context.backbone, training_passes(context)


@dataclass(frozen=True)
class EmbeddingWork:
    """The pass of `tl embed`."""

    of: RunDir | Card
    image_size: int  # of a backbone; 0 for its own
    records: Sequence[Record]

    def opened(self) -> tuple[Backbone, list[Pass]]:
        if isinstance(self.of, Card):
            embedder = embed.of_backbone(
                self.of, self.image_size or self.of.image_size, self.records
            )
        else:
            embedder = embed.of_run(self.of)
        return embedder.backbone, [Pass(self.records, [embedder.spec])]


def training_passes(context: RunContext) -> list[Pass]:
    """Return the passes that `tl train` begins with, in its order."""
    first = evidence.moments_pass(context)
    return [*([first] if first else []), choice.whole_pass(context)]


def pass_share(work: Work, shard: Shard, on_progress: OnProgress = silent) -> ShardResult:
    """Do one share of the work, and say what is left of it. Raises as `extract_shard`."""
    started = time.perf_counter()
    done = extract_shard(*work.opened(), shard, on_progress=on_progress)
    return ShardResult(
        shard=str(shard),
        images=done.images,
        passed=done.passed,
        missing=[n for n in range(1, shard.count + 1) if n not in done.finished],
        seconds=round(time.perf_counter() - started, 3),
    )
