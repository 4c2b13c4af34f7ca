"""The pass of all images by a Ray cluster: each of its workers does shares, until all are done.

Ray schedules, restarts and retries; a share is one task, which leaves rows and marker in the
cache that all machines see (TL_CACHE) and answers with two numbers. What is on disk is all that is
relied on: a cluster that went down is begun again, and does what is not done. Ray Data was weighed
and left: its blocks would travel to a reader that there is none of.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tl_cli import engines
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import BATCH, extraction
from tl_cli.engine.features.shards import Pass, ShardDone, extract_shard, once, parts
from tl_cli.engine.networks.loading import Backbone
from tl_cli.engine.shard import TrainingWork, Work, training_passes
from tl_cli.errors import TLError
from tl_cli.machine import cores
from tl_cli.quiet import quiet
from tl_cli.results.progress import Note, OnProgress, Progress
from tl_cli.store import cache_folder
from tl_cli.store.shards import Shard

LEAST, MOST = 8, 1_000  # shares; few batches are dealt out one by one
SHARE = 64  # batches of a share, of many: what a worker that dies has to do again
TRIES = 5  # of a share whose worker dies
STARTS = 3  # of a cluster on this machine
SETTINGS = {  # of Ray's own, unless the environment has others
    "USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "worker_niceness": "0",  # the work was asked for
    # seconds, for a machine that has other things to do
    "gcs_server_port_wait_time_s": "300",
    "worker_register_timeout_seconds": "300",
}
_opened: dict[str, tuple[Backbone, list[Pass]]] = {}  # of this worker: the last work, by its name


def run_training(context: RunContext, on_progress: OnProgress) -> None:
    """Have every image pass that a training begins with: see `run`."""
    assert context.config.engine
    work = TrainingWork(context.config, context.manifest, context.room)
    passes = training_passes(context)
    run(context.config.engine, work, context.backbone, passes, on_progress)


def run(
    engine: str, work: Work, backbone: Backbone, passes: Sequence[Pass], on_progress: OnProgress
) -> None:
    """Have every image pass on the cluster. `backbone`, `passes`: of the work, as opened here.

    Afterwards whoever extracts these features finds them. Raises TLError where there is no cluster,
    where its workers do not see the cache or the images, and what a share raises.
    """
    todo = _lacking(backbone, passes)
    if not todo:
        return
    with _cluster(engines.address_of(engine)) as ray:
        own = once(passes)
        total = sum(len(each.records) for shard in todo for each in parts(own, shard))
        done = 0
        workers = _workers(ray)
        on_progress(Note(f"{len(todo):,} shards by {workers:,} workers of a Ray cluster"))
        for result in _results(ray, work, todo):
            done += result.images
            on_progress(Progress("features", done, total))
    if left := len(_lacking(backbone, passes)):
        raise TLError(
            f"the workers have done all, and the rows of {left:,} shards are not in the cache here",
            "let TL_CACHE name a folder that all machines see under the same path",
        )


def count(passes: Sequence[Pass]) -> int:
    """Return into how many shares the work is dealt: by the images alone, not by who does it."""
    batches = -(-max(len(each.records) for each in passes) // BATCH)
    return max(min(batches, LEAST), min(batches // SHARE, MOST), 1)


def _lacking(backbone: Backbone, passes: Sequence[Pass]) -> list[Shard]:
    """Return the shares with an image that lacks a row."""
    specs = {spec for each in passes for spec in each.wanted}
    known = {spec: extraction.tables_of(backbone, [spec])[0].index for spec in specs}
    dealt, of = once(passes), count(passes)
    return [
        shard
        for shard in (Shard(number, of) for number in range(1, of + 1))
        if any(
            record.digest not in known[spec]
            for own in parts(dealt, shard)
            for spec in own.wanted
            for record in own.records
        )
    ]


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Connect to a cluster, or begin one on this machine for as long as the pass takes."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(f"RAY_{name}", value)
    with quiet():
        import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "critical"}
    mine = not ray.is_initialized()
    if mine:
        if address is None:
            options |= {"num_cpus": cores(), "include_dashboard": False, "address": "local"}
        try:
            with quiet():
                _begin(ray, {"address": address} | options if address else options)
        except Exception as error:  # Ray raises bare ones, where it did not come up in time
            where = f"the Ray cluster at {address}" if address else "a Ray cluster on this machine"
            told = str(error).strip().splitlines()
            raise TLError(
                f"cannot reach {where}: {told[0] if told else type(error).__name__}",
                "begin one with: ray start --head" if address else "see whether ray.init() works",
            ) from error
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _begin(ray: Any, options: Mapping[str, Any]) -> None:
    """Call `ray.init`; once more where a cluster of our own did not come up in time.

    Ray gives a node 30 seconds to report, whatever else the machine has to do, and that is no
    setting of it.
    """
    for left in reversed(range(STARTS if options["address"] == "local" else 1)):
        try:
            ray.init(**options)
            return
        except Exception:
            ray.shutdown()
            if not left:
                raise


def _workers(ray: Any) -> int:
    there = ray.cluster_resources()
    return int(there.get("GPU", 0)) or max(1, int(there.get("CPU", 1)))


def _results(ray: Any, work: Work, todo: Sequence[Shard]) -> Iterator[ShardDone]:
    """Yield what each share came to, as they come."""
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    # as many threads as one process has: another number of them rounds otherwise
    threads = str(os.environ.get("OMP_NUM_THREADS", cores()))
    environment = {"TL_CACHE": str(cache_folder.folder()), "OMP_NUM_THREADS": threads}
    share = ray.remote(_share).options(
        num_cpus=1,
        num_gpus=gpus,
        max_retries=TRIES,
        runtime_env={"env_vars": environment},
    )
    name, travelling = uuid.uuid4().hex, ray.put(work)
    waiting = [share.remote(name, travelling, shard) for shard in todo]
    try:
        while waiting:
            ready, waiting = ray.wait(waiting)
            yield from ray.get(ready)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except ray.exceptions.RayError as error:
        raise TLError(
            f"the workers of the Ray cluster died {TRIES + 1} times on one shard",
            "look into its logs (/tmp/ray/session_latest/logs); what was done is kept",
        ) from error
    finally:
        for task in waiting:
            ray.cancel(task, force=True)


def _share(name: str, work: Work, shard: Shard) -> ShardDone:
    """Do a share, in a worker: its network is loaded once, and serves every share of the work."""
    if name not in _opened:
        _opened.clear()
        _opened[name] = work.opened()
    return extract_shard(*_opened[name], shard)
