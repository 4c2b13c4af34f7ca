"""`tl evaluate`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.shared import BadImages, Data, Json, Quiet, opened_screen, scanned, tell

if TYPE_CHECKING:
    from tl_cli.console import Screen
    from tl_cli.manifest import Manifest
    from tl_cli.rundir import RunDir


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Run directory, or the checkpoint in it.")],
    data: Data = None,
    split: Annotated[str | None, typer.Option(help="test, val, train or all.")] = None,
    bad_images: BadImages = None,
    plots: Annotated[bool, typer.Option("--plots", help="Write confusion.png.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained classifier, on its own test images or on others."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli.rundir import checkpoint_of

        run = checkpoint_of(checkpoint)
        manifest, chosen = _evaluated(run, data, split, bad_images or "skip", screen)
        from tl_cli.engine import predict

        result = predict.evaluate(run, manifest, chosen, screen.on_progress)
        if plots:
            from tl_cli.report import confusion_png

            screen.note(f"wrote {confusion_png(result, run)}")
        if json:
            print(jsonlib.dumps(result.to_json()))
        else:
            screen.evaluation(result)


def _evaluated(
    run: RunDir, data: str | None, split: str | None, bad_images: str, screen: Screen
) -> tuple[Manifest, str]:
    """Return the images to evaluate on and which split of them: test, else val, else all."""
    from tl_cli import manifest as manifests
    from tl_cli import rundir
    from tl_cli.errors import unknown

    if split not in (None, "all", *manifests.SPLITS):
        raise unknown("split", split or "", ("all", *manifests.SPLITS))
    if data is None:
        found = manifests.read_csv(run / rundir.MANIFEST)
        return found, split or ("test" if found.of("test") else "val")
    found = scanned(data, screen, bad_images=bad_images, least_classes=1)
    tell(found, screen)
    return found, split or ("test" if found.of("test") else "all")
