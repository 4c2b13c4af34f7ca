"""`tl export`."""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Json, Quiet
from tl_cli.cli.session import opened_screen
from tl_cli.errors import TLError
from tl_cli.humanize import typed

if TYPE_CHECKING:
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.export_formats import Format
    from tl_cli.results.export import Export
    from tl_cli.store.run_dir import RunDir


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Run directory, or the checkpoint in it.")],
    format: Annotated[
        str, typer.Option(help="saved_model, keras, onnx, litert, openvino; or all of them.")
    ],
    quantize: Annotated[
        str | None, typer.Option(help="float16, or int8 calibrated on training images.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Any such images, to check it with where the run's own are gone."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="File, or folder of a SavedModel or of all; else in the run."),
    ] = None,
    unknown: Annotated[
        bool | None,
        typer.Option(
            "--unknown/--no-unknown",
            help="A second output that tells images unlike all training images, where it can.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    benchmark: Annotated[
        bool, typer.Option("--benchmark", help="Time it in its own runtime, on this machine.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a classifier for another program, run it there, and check that it is the same."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli import export_formats
        from tl_cli.store import run_dir

        run = run_dir.checkpoint_of(checkpoint)
        forms, left_out = export_formats.chosen(format, quantize)
        images = _images(data) if data else None
        every = export_formats.named(format) == export_formats.ALL
        targets = _targets(run, forms, quantize, output, overwrite, every=every)
        for reason in left_out:
            screen.note(reason)
        results = []
        for result in _written(run, targets, quantize, images, unknown, benchmark, screen):
            results.append(result)
            if not json:
                _show(screen, result, first=len(results) == 1)
        if json:
            told = [result.to_json() for result in results]
            whole = {"exports": told, "left_out": left_out}
            print(jsonlib.dumps(whole if every else told[0]))
        _require_equal(results)


def _written(
    run: RunDir,
    targets: Sequence[tuple[Format, Path]],
    quantize: str | None,
    images: Manifest | None,
    unlike: bool | None,
    benchmark: bool,
    screen: Screen,
) -> Iterator[Export]:
    """Yield what was written, format after format; the network is loaded once."""
    screen.busy("Loading the network")
    from tl_cli.engine import export as engine

    source = engine.original(run, quantize, images, unlike)
    for form, target in targets:
        screen.busy(f"Writing and checking {form.title}")
        yield engine.export(source, form, target, screen.on_progress, benchmark=benchmark)


def _show(screen: Screen, result: Export, *, first: bool) -> None:
    from tl_cli.console.export import show_export

    if not first:
        screen.out.print()
    show_export(screen, result)


def _require_equal(results: Sequence[Export]) -> None:
    """Raise TLError where a file is not the same as the network."""
    for result in results:
        if not result.equality.passed:
            raise TLError(
                f"the exported file is not the same as the network: "
                f"{' and '.join(result.equality.reasons)}",
                f"it is kept as {result.path}"
                + (", --quantize float16 loses less" if result.quantize == "int8" else ""),
            )


def _images(data: str) -> Manifest:
    """Return the images of --data: what they show is not asked for."""
    from tl_cli.data import listing
    from tl_cli.data.manifest import Manifest, Options, Record
    from tl_cli.data.sources.inputs import named_images
    from tl_cli.store import cache_folder

    if Path(data).expanduser().exists():
        return Manifest(data, (), tuple(Record(path, "") for path in named_images([data])))
    return listing.listed(data, Options(cache=cache_folder.usable()))


def _targets(
    run: RunDir,
    forms: Sequence[Format],
    quantize: str | None,
    output: Path | None,
    overwrite: bool,
    *,
    every: bool,
) -> list[tuple[Format, Path]]:
    """Return the formats, and where each file is to lie; of `every` format, in one folder."""
    if not every:
        return [(form, _target(run, form, quantize, output, overwrite)) for form in forms]
    if output and output.exists() and not output.is_dir():
        raise TLError(f"'{output}' is a file, and all formats need a folder", "give a folder")
    return [
        (
            form,
            _target(run, form, quantize, output and output / form.file_name(quantize), overwrite),
        )
        for form in forms
    ]


def _target(
    run: RunDir, form: Format, quantize: str | None, output: Path | None, overwrite: bool
) -> Path:
    """Return where the file is to lie, its folder made."""
    from tl_cli.store.output import make_writable
    from tl_cli.store.run_dir import EXPORTS

    target = output or run / EXPORTS / form.file_name(quantize)
    if form.ending and target.suffix != form.ending:
        raise TLError(
            f"{form.title} files end with {form.ending}, and --output is '{target}'",
            typed("--output", target.with_suffix(form.ending)),
        )
    if os.path.lexists(target) and not overwrite:
        raise TLError(f"'{target}' is there already", "choose another --output, or --overwrite")
    if target.exists() and target.is_dir() != (not form.ending):
        raise TLError(f"'{target}' is there and is not {form.title}", "choose another --output")
    make_writable(target.parent)
    return target
