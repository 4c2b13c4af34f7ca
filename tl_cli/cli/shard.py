"""`--shard`: the share of a pass that this process does, for `tl train` and `tl embed`."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.data.manifest import TASKS
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.results.shard import ShardResult

EngineOption = Annotated[
    str | None,
    typer.Option("--engine", metavar="ray[:ADDRESS]", help="Let the images pass on a Ray cluster."),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Let a share of the images pass, and no more; auto: the task of a Slurm array.",
    ),
]


def check(settings: RunConfig) -> None:
    """Raise TLError where a training cannot be prepared in shares."""
    from tl_cli import catalog

    if settings.from_scratch:
        raise TLError(
            "--shard is of the pass through a pretrained network", "--from-scratch has none"
        )
    if not settings.cache:
        raise TLError(
            "shards lie in the cache, so --shard cannot go with --no-cache", "leave it out"
        )
    if settings.backbone == catalog.BEST:
        raise TLError(
            "--shard needs a network that is chosen", "tl rank says which one is best: name it"
        )


def train_share(settings: RunConfig, text: str, screen: Screen, json: bool) -> None:
    """Do a share of the pass of a training, and say what is left."""
    from tl_cli.cli.session import LOADING, manifest_of
    from tl_cli.store import shards

    check(settings)
    shard = shards.parsed(text)
    manifest = manifest_of(settings, screen, TASKS)
    screen.busy(LOADING)
    from tl_cli.engine.shard import TrainingWork, pass_share

    show(
        pass_share(
            TrainingWork(settings.for_task(manifest.task), manifest), shard, screen.on_progress
        ),
        screen,
        json,
    )


def show(result: ShardResult, screen: Screen, json: bool) -> None:
    """Say what a share came to."""
    if json:
        print(jsonlib.dumps(result.to_json()))
        return
    from tl_cli.console.shard import show_shard

    show_shard(screen, result)
