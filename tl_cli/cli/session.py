"""What the commands share: the screen with its exit codes, and the images of a run."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.cards.card import Card
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.plan.blocks import Block


LESS = "close other programs, or give fewer images, a smaller --batch-size or --image-size"
LOADING = "Loading tensorflow"  # while a screen has nothing else to tell
INTERRUPTED, TERMINATED = 130, 143  # exit codes: 128 and the signal's number


class Terminated(KeyboardInterrupt):
    """SIGTERM: everything is left as after Ctrl-C."""


def _terminate(*_: object) -> None:
    raise Terminated


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what was begun is ended well."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def opened_screen(
    *, json: bool = False, quiet: bool = False, verbose: bool | None = None
) -> Iterator[Screen]:
    """Open the screen, and turn what went wrong into a sentence and an exit code."""
    from tl_cli.console.screen import Screen
    from tl_cli.store import notices

    screen = Screen(quiet=quiet, json=json, verbose=verbose)
    try:
        with _sigterm_raises(), screen, notices.listening(lambda t: screen.note(t, warning=True)):
            yield screen
    except TLError as error:
        screen.error(error)
        raise typer.Exit(1) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        screen.error(of_the_system(error))
        raise typer.Exit(1) from None
    except MemoryError:
        screen.error(TLError("the memory of this machine was not enough", LESS))
        raise typer.Exit(1) from None
    except KeyboardInterrupt as error:
        terminated = isinstance(error, Terminated)
        screen.note("terminated" if terminated else "interrupted", warning=True)
        raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None


def of_the_system(error: OSError) -> TLError:
    """Return the sentence for what a disk did: what was written before is left as it is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "make room, or clear what tl keeps: tl cache --clear"
        return TLError(f"the disk is full ({error.filename or 'while writing'})", hint)
    place = f"'{error.filename}': " if error.filename else ""
    return TLError(
        f"{place}{error.strerror or error}", "see whether it is there, and may be read and written"
    )


def manifest_of(
    settings: RunConfig, screen: Screen, tasks: Sequence[str] = (CLASSIFICATION,)
) -> Manifest:
    """Scan the images, take the subset and split them as configured; say what was found.

    `tasks`: what labels may be for the command that asks; others are refused.
    """
    from tl_cli.data import channels
    from tl_cli.data.split import assign_splits
    from tl_cli.data.subset import limit

    channels.use(settings.bands())
    found = scanned(
        settings.data,
        screen,
        bad_images=settings.bad_images,
        data_dir=settings.data_dir,
        columns=settings.column_names(),
        task=settings.task,
        **_to_keep(settings),
    )
    if found.doubt:
        raise TLError(f"'{settings.data}': {found.doubt.what}", found.doubt.choices)
    _check_task(settings, found, tasks)
    for text in _unused(settings, found):
        screen.note(text, warning=True)
    found = limit(found, settings.limit, settings.limit_per_class, settings.seed)
    split = assign_splits(
        found,
        val=settings.val,
        test=settings.test,
        seed=settings.seed,
        folds=settings.folds or 0,
        fold=settings.fold,
        keep_duplicates=settings.keep_duplicates,
    )
    tell(split, screen)
    return split


def _check_task(settings: RunConfig, found: Manifest, tasks: Sequence[str]) -> None:
    """Raise TLError where the labels are not what the command knows, before anything is loaded."""
    if found.task == MULTILABEL and found.task not in tasks:
        raise TLError(
            f"'{settings.data}': an image may have several labels, and this command knows one",
            "tl train knows several; where each combination is a class of its own, say "
            "--task classification",
        )
    if found.task not in tasks:
        raise TLError(
            f"'{settings.data}': the labels are numbers, and this command knows classes",
            "tl train knows numbers; where each number is a class of its own, say "
            "--task classification",
        )
    settings.for_task(found.task)


def _unused(settings: RunConfig, manifest: Manifest) -> Iterator[str]:
    """Yield what was asked for and is of no use with these images."""
    from tl_cli.config import option
    from tl_cli.data import listing

    for split in ("val", "test"):
        share = getattr(settings, split)
        if share != option(split).default and manifest.of(split):
            yield f"--{split} {share:g} is not used: {settings.data} has {split} images of its own"
    kind = listing.kind(settings.data)
    if settings.columns and kind not in ("table", "parquet", "tfrecord", "cloud"):
        yield f"--columns is not used: {settings.data} is no table"
    if settings.data_dir and kind != "tfds":
        yield f"--data-dir is not used: {settings.data} is no tfds: data set"


def _to_keep(settings: RunConfig) -> dict[str, int]:
    """Return at which size the scan keeps what it decodes: images that the run will want so."""
    from tl_cli import catalog

    if not settings.cache or settings.limit or settings.limit_per_class:
        return {}
    if settings.image_size:
        return {"keep": settings.image_size}
    if settings.backbone == catalog.BEST:  # there is no telling yet which size is wanted
        return {}
    card = catalog.get(settings.backbone)
    return {"keep": card.image_size, "keep_from": catalog.least_side(card)}


def blocks_of(card: Card, image_size: int | None = None) -> Sequence[Block]:
    """Return a backbone's blocks; what no card says is read off the network itself."""
    from tl_cli import catalog

    if card.name in catalog.CARDS and image_size in (None, card.image_size):
        return card.blocks
    from tl_cli.engine.networks import loading

    return loading.load(card, image_size or card.image_size, weights=None).blocks


def scanned(source: str, screen: Screen, **options: Any) -> Manifest:
    """Scan a source with progress on the screen, remembering in the cache what was seen."""
    from tl_cli.data.scan import scan
    from tl_cli.results.progress import Progress
    from tl_cli.store import cache_folder

    return scan(
        source,
        cache=cache_folder.usable(),
        on_progress=lambda done, total: screen.on_progress(Progress("scan", done, total)),
        **options,
    )


def tell(manifest: Manifest, screen: Screen) -> None:
    """Say each finding in one line, unless the command sums them up itself."""
    from tl_cli.results.progress import Note

    if screen.verbose is False:
        return
    for text in manifest.notes:
        screen.on_progress(Note(text, warning=True))
