"""`--shard`: one share of the pass that a training or an embedding begins with, and no more.

Any scheduler may call it, in any order and as often as it likes: see features/shards.py. Never
prints.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from tl_cli.config import RunConfig
from tl_cli.data.manifest import Manifest, Record
from tl_cli.engine import evidence
from tl_cli.engine.context import RunContext, prepare
from tl_cli.engine.embed import Embedder
from tl_cli.engine.features.shards import Pass, extract_shard
from tl_cli.engine.head import choice
from tl_cli.engine.networks.loading import Backbone
from tl_cli.results.progress import OnProgress
from tl_cli.results.shard import ShardResult
from tl_cli.store.shards import Shard


def of_training(
    config: RunConfig, manifest: Manifest, shard: Shard, on_progress: OnProgress
) -> ShardResult:
    """Do one share of what `tl train` has pass the network before anything else."""
    started = time.perf_counter()
    context = prepare(config, manifest)
    return _done(context.backbone, training_passes(context), shard, on_progress, started)


def of_embedding(
    embedder: Embedder, records: Sequence[Record], shard: Shard, on_progress: OnProgress
) -> ShardResult:
    """Do one share of what `tl embed` has pass the network."""
    passes = [Pass(records, [embedder.spec])]
    return _done(embedder.backbone, passes, shard, on_progress, time.perf_counter())


def training_passes(context: RunContext) -> list[Pass]:
    """Return the passes that `tl train` begins with, in its order."""
    first = evidence.moments_pass(context)
    return [*([first] if first else []), choice.whole_pass(context)]


def _done(
    backbone: Backbone,
    passes: Sequence[Pass],
    shard: Shard,
    on_progress: OnProgress,
    started: float,
) -> ShardResult:
    done = extract_shard(backbone, passes, shard, on_progress=on_progress)
    return ShardResult(
        shard=str(shard),
        images=done.images,
        passed=done.passed,
        missing=[n for n in range(1, shard.count + 1) if n not in done.finished],
        seconds=round(time.perf_counter() - started, 3),
    )
