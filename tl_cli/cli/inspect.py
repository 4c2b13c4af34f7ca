"""`tl inspect`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Channels, Columns, DataDir, Json, Quiet, Task, help_of
from tl_cli.cli.session import opened_screen, scanned
from tl_cli.errors import TLError, unknown
from tl_cli.store.marker import make_marked

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.data.inspection import Inspection
    from tl_cli.data.manifest import Manifest

LEVELS = ("none", "light", "medium", "strong")
OUTPUT = Path("inspect")


def inspect(
    data: Annotated[str, typer.Argument(metavar="SOURCE", help=help_of("data"))],
    plots: Annotated[
        bool, typer.Option("--plots", help="Write samples.png, classes.png and sizes.png.")
    ] = False,
    augment: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Write augment.png too: none, light, medium or strong."),
    ] = None,
    label_errors: Annotated[
        bool,
        typer.Option("--label-errors", help="Of a RUN: training images that look mislabelled."),
    ] = False,
    apply: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --label-errors: train again with what you wrote into its table.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the pictures, ./inspect; with --apply, of the new run."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Of --label-errors: replace what is there.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where something is wrong.")
    ] = False,
    columns: Columns = None,
    task: Task = None,
    channels: Channels = None,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at every image: what there is, what is wrong, and what it means for the training."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli import config as configs

        if augment is not None and augment not in LEVELS:
            raise unknown("augmentation level", augment, LEVELS)
        if output and not (plots or augment or label_errors):
            raise typer.BadParameter("--output is for the pictures: add --plots or --augment")
        if label_errors:
            given = {"--plots": plots, "--augment": augment, "--strict": strict,
                     "--columns": columns, "--task": task, "--channels": channels,
                     "--data-dir": data_dir}  # fmt: skip
            if unused := [name for name, value in given.items() if value]:
                raise typer.BadParameter(f"--label-errors is of a run: leave out {unused[0]}")
            from tl_cli.cli import label_errors as doubts

            if apply:
                doubts.apply(Path(data), apply, output, screen, json, overwrite=overwrite)
            else:
                place = output or OUTPUT
                doubts.show_label_errors(Path(data), place, screen, json, overwrite=overwrite)
            return
        if apply or overwrite:
            given_alone = "--apply" if apply else "--overwrite"
            raise typer.BadParameter(f"{given_alone} goes with --label-errors")
        settings = configs.load(
            flags={
                "data": data,
                "columns": columns,
                "task": task,
                "channels": channels,
                "data_dir": data_dir,
            }
        )
        manifest, found = _inspected(settings, screen)
        _show(found, screen, json)
        if plots or augment:
            for path in _drawn(manifest, found, output or OUTPUT, plots, augment):
                screen.note(f"wrote {path}")
        if strict and found.wrong:
            raise typer.Exit(1)


def _inspected(settings: RunConfig, screen: Screen) -> tuple[Manifest, Inspection]:
    """Scan the images, split them as a training would, and look at both."""
    from tl_cli.data import channels, inspection
    from tl_cli.data.split import assign_splits

    channels.use(settings.bands())
    manifest = scanned(
        settings.data,
        screen,
        data_dir=settings.data_dir,
        columns=settings.column_names(),
        task=settings.task,
        least_classes=1,
    )
    try:
        split = assign_splits(manifest, val=settings.val, test=settings.test, seed=settings.seed)
    except TLError as error:
        return manifest, inspection.inspect(manifest, None, error.message)
    return manifest, inspection.inspect(manifest, split)


def _show(found: Inspection, screen: Screen, json: bool) -> None:
    from tl_cli.console.inspect import show_inspection

    if json:
        print(jsonlib.dumps(found.to_json()))
    else:
        show_inspection(screen, found)


def _drawn(
    manifest: Manifest, found: Inspection, folder: Path, plots: bool, augment: str | None
) -> Iterator[Path]:
    """Draw what was asked for, and yield where each picture lies."""
    from tl_cli import report

    drawings: list[Callable[[], Path]] = []
    if plots:
        drawings += [
            lambda: report.samples_png(manifest, folder),
            lambda: report.classes_png(found.counts, folder),
            lambda: report.sizes_png(manifest, folder),
        ]
    if augment:
        drawings.append(lambda: _augment_png(manifest, found, augment, folder))
    try:
        make_marked(folder)
        for draw in drawings:
            yield draw()
    except OSError as error:
        raise TLError(
            f"cannot write to '{folder}': {error.strerror}", "choose another --output"
        ) from error


def _augment_png(manifest: Manifest, found: Inspection, augment: str, folder: Path) -> Path:
    from tl_cli import report
    from tl_cli.engine.images import preview

    chosen = preview.chosen(manifest)
    variants = preview.variants(chosen, found.image_size, augment)
    return report.augment_png(variants, [r.label for r in chosen], augment, folder)
