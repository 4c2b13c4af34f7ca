"""What `--shard` says when a share is done. Knows nothing of how it was done."""

from __future__ import annotations

from collections.abc import Sequence

from tl_cli.console.screen import Screen, say
from tl_cli.humanize import count, duration
from tl_cli.results.shard import ShardResult

NAMED = 8  # missing shares that are named


def show_shard(screen: Screen, result: ShardResult) -> None:
    """Say what the share came to, and what is left to do."""
    number, _, of = result.shard.partition("/")
    before = result.images - result.passed
    kept = f", {before:,} of them had passed before" if before else ""
    took = duration(result.seconds)
    say(screen, f"Shard {number} of {of} is done: {count(result.images, 'image')}{kept}, in {took}")
    if result.missing:
        say(screen, f"Still missing: {count(len(result.missing), 'shard')} ({_named(result)})")
    else:
        say(screen, f"All {of} are done: the same command without --shard goes on from here")


def _named(result: ShardResult) -> str:
    some: Sequence[int] = result.missing[:NAMED]
    return ", ".join(map(str, some)) + (", ..." if len(result.missing) > NAMED else "")
