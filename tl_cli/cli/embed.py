"""`tl embed`."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Json, Quiet
from tl_cli.cli.predict import tell_left_out
from tl_cli.cli.run_directory import look_as
from tl_cli.cli.session import opened_screen
from tl_cli.cli.shard import EngineOption, ShardOption

if TYPE_CHECKING:
    from tl_cli.catalog import Card
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import BadFile, Record
    from tl_cli.engine.embed import Embedder
    from tl_cli.store.run_dir import RunDir
    from tl_cli.store.shards import Shard


def embed(
    source: Annotated[
        str, typer.Argument(metavar="RUN|BACKBONE", help="A run, or a name from `tl backbones`.")
    ],
    paths: Annotated[
        list[str],
        typer.Argument(help="Images, folders, 'patterns', lists (.txt, .csv), or - for stdin."),
    ],
    output: Annotated[
        Path | None, typer.Option(help="FILE.npy, .npz, .parquet or .csv; not with --shard.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    image_size: Annotated[
        int | None,
        typer.Option(min=32, max=1024, help="Pixels, of a BACKBONE; its own if not given."),
    ] = None,
    engine: EngineOption = None,
    shard: ShardOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write what the head sees of images, a row of numbers for each, with paths and digests."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli import engines
        from tl_cli.console.embed import show_embedding
        from tl_cli.data.sources.inputs import named_images
        from tl_cli.results.embedding import Embedding
        from tl_cli.store import embedding_writer, shards

        if (output is None) == (shard is None):
            raise typer.BadParameter("give --output, or --shard, which writes nothing yet")
        if engine and (shard or engines.problem(engine)):
            raise typer.BadParameter(engines.problem(engine) or "give --engine or --shard")
        engines.require(engine)
        share = shards.parsed(shard) if shard else None
        of = source_of(source, image_size)
        left_out: Counter[str] = Counter()
        inputs = named_images(paths, sys.stdin, left_out)
        if output:
            embedding_writer.check(output, overwrite=overwrite)
        tell_left_out(left_out, screen)
        started = time.perf_counter()
        records, bad = readable(inputs, screen)
        if share:
            _pass_share(of, image_size, records, share, screen, json)
            return
        assert output
        embedder = embedder_of(of, image_size, records)
        cached = embedder.passed(records)
        if engine:
            _pass_on(engine, of, embedder, records, screen)
        rows = embedder.embed(records, screen.on_progress)
        table = embedding_writer.write(output, records, rows)
        result = Embedding(
            source=source,
            output=str(output),
            paths=str(table) if table else None,
            images=len(records),
            width=embedder.width,
            image_size=embedder.backbone.image_size,
            cached=cached,
            bad=bad,
            left_out=dict(+left_out),
            seconds=round(time.perf_counter() - started, 3),
        )
        if json:
            print(jsonlib.dumps(result.to_json()))
        else:
            show_embedding(screen, result)
        if bad:
            raise typer.Exit(1)


def _pass_share(
    of: RunDir | Card,
    image_size: int | None,
    records: Sequence[Record],
    share: Shard,
    screen: Screen,
    json: bool,
) -> None:
    """Let a share of the images pass, and say what is left."""
    from tl_cli.cli.shard import show
    from tl_cli.engine.shard import EmbeddingWork, pass_share

    work = EmbeddingWork(of, image_size or 0, records)
    show(pass_share(work, share, screen.on_progress), screen, json)


def _pass_on(
    engine: str, of: RunDir | Card, embedder: Embedder, records: Sequence[Record], screen: Screen
) -> None:
    """Let the images pass on a cluster; the embedder then finds them."""
    from tl_cli.engine import ray_pass
    from tl_cli.engine.features.shards import Pass
    from tl_cli.engine.shard import EmbeddingWork

    backbone = embedder.backbone
    work = EmbeddingWork(of, backbone.image_size, records)
    ray_pass.run(engine, work, backbone, [Pass(records, [embedder.spec])], screen.on_progress)


def readable(paths: Sequence[str], screen: Screen) -> tuple[list[Record], list[BadFile]]:
    """Return the records of images, and what is none: said, and left out.

    Raises TLError where nothing can be read.
    """
    from tl_cli.data.scan import records_of
    from tl_cli.errors import TLError
    from tl_cli.humanize import count, naming, short
    from tl_cli.results.progress import Note, Progress
    from tl_cli.store import cache_folder

    records, bad = records_of(
        paths,
        cache=cache_folder.usable(),
        on_progress=lambda done, total: screen.on_progress(Progress("scan", done, total)),
    )
    named = naming(f"{short(each.path)} {each.reason}" for each in bad)
    if not records:
        raise TLError(
            f"none of {count(len(paths), 'image')} can be read: {named}", "check the files"
        )
    if bad:
        text = f"left out {count(len(bad), 'file')} of {len(paths):,}: {named}"
        screen.on_progress(Note(text, warning=True))
    return records, bad


def source_of(source: str, image_size: int | None) -> RunDir | Card:
    """Return the run or the backbone that is meant. Raises TLError where it is neither."""
    from tl_cli import catalog
    from tl_cli.errors import TLError, did_you_mean
    from tl_cli.store import run_dir

    is_run = (Path(source) / run_dir.CHECKPOINT).is_file()
    if source in catalog.CARDS and not is_run:
        card = catalog.get(source)
        catalog.require_pretrained(card)
        return card
    if not Path(source).exists():
        near = did_you_mean(source, catalog.CARDS)
        raise TLError(
            f"'{source}' is neither a run nor a backbone" + (f": {near}" if near else ""),
            "give a run directory that tl train has written, or a name from: tl backbones",
        )
    run = run_dir.checkpoint_of(Path(source))
    if image_size is not None:
        raise typer.BadParameter("--image-size is for a BACKBONE: a run has its own")
    look_as(run)
    return run


def embedder_of(of: RunDir | Card, image_size: int | None, records: Sequence[Record]) -> Embedder:
    """Load what makes features of images: imports the framework."""
    from tl_cli.catalog import Card
    from tl_cli.engine import embed as engine

    if isinstance(of, Card):
        return engine.of_backbone(of, image_size or of.image_size, records)
    return engine.of_run(of)
