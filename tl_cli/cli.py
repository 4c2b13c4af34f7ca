"""The commands: parse, load, call, show. Every body is short; what they do lives below.

Nothing here imports the framework before it is needed, so that help and mistakes are told at once.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli import __version__
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console import Screen
    from tl_cli.manifest import Manifest
    from tl_cli.rundir import RunDir

app = typer.Typer(
    name="tl",
    help="Train an image classifier by transfer learning: look once, measure, decide, explain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[
    str | None,
    typer.Option(help="DIR of class folders, FILE.csv, tfds:NAME or sample:digits."),
]
Backbone = Annotated[str | None, typer.Option(help="Pretrained network; see `tl backbones`.")]
Similarity = Annotated[
    str | None, typer.Option(help="To the pretraining photos: low, medium or high.")
]
Freeze = Annotated[
    str | None, typer.Option(help="auto, head, half, full, or the ratio of layers to freeze, 0..1.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
BadImages = Annotated[str | None, typer.Option(help="skip or error.")]


@contextmanager
def _screen(*, json: bool = False, quiet: bool = False) -> Iterator[Screen]:
    """Open the screen, and turn what went wrong into a sentence and an exit code."""
    from tl_cli.console import Screen

    screen = Screen(quiet=quiet, json=json)
    try:
        with screen:
            yield screen
    except TLError as error:
        screen.error(error)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        screen.note("interrupted", warning=True)
        raise typer.Exit(130) from None


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if show:
        print(f"tl {__version__}")
        raise typer.Exit


@app.command()
def train(
    data: Data = None,
    backbone: Backbone = None,
    similarity: Similarity = None,
    freeze: Freeze = None,
    head: Annotated[
        str | None, typer.Option(help="auto, last, or multi (joins several depths).")
    ] = None,
    image_size: Annotated[
        str | None, typer.Option(help="Pixels; auto: the backbone's, less for small images.")
    ] = None,
    epochs: Annotated[str | None, typer.Option(help="Of fine-tuning; auto: from the plan.")] = None,
    batch_size: Annotated[str | None, typer.Option(help="Images a step.")] = None,
    learning_rate: Annotated[str | None, typer.Option(help="Peak, of the tuned layers.")] = None,
    augment: Annotated[
        str | None, typer.Option(help="auto, none, light, medium or strong.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="May images be mirrored? auto, yes or no.")
    ] = None,
    views: Annotated[
        str | None, typer.Option(help="Augmented views kept an image when part is frozen.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32, mixed_float16 or mixed_bfloat16.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help=".weights.h5 of the backbone, in place of its own.")
    ] = None,
    val: Annotated[str | None, typer.Option(help="Share of images for validation.")] = None,
    test: Annotated[str | None, typer.Option(help="Share of images for the test.")] = None,
    bad_images: BadImages = None,
    seed: Annotated[str | None, typer.Option(help="Of the split and the training.")] = None,
    output: Annotated[str | None, typer.Option(help="Run directory; auto: runs/NAME.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of these options.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, over the file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the run in --output.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and time it only.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on a folder of images."""
    flags = {k: v for k, v in locals().items() if k not in _NOT_CONFIG}
    with _screen(json=json, quiet=quiet) as screen:
        from tl_cli import config as configs

        settings = configs.load(config, set_ or (), flags)
        manifest = _manifest(settings, screen)
        if dry_run:
            _rehearse(settings, manifest, screen, json)
        else:
            _train(settings, manifest, screen, json, overwrite)


_NOT_CONFIG = ("config", "set_", "overwrite", "dry_run", "json", "quiet")


def _manifest(settings: RunConfig, screen: Screen) -> Manifest:
    from tl_cli import cache
    from tl_cli import manifest as manifests
    from tl_cli.results import Note, Progress

    found = manifests.scan(
        settings.data,
        bad_images=settings.bad_images,
        cache=cache.folder(),
        on_progress=lambda done, total: screen.on_progress(Progress("scan", done, total)),
    )
    split = manifests.assign_splits(found, val=settings.val, test=settings.test, seed=settings.seed)
    for text in split.notes:
        screen.on_progress(Note(text, warning=True))
    return split


def _rehearse(settings: RunConfig, manifest: Manifest, screen: Screen, json: bool) -> None:
    from tl_cli.engine.rehearse import rehearse

    result = rehearse(settings, manifest)
    if json:
        print(jsonlib.dumps(result.to_json()))
    else:
        screen.rehearsal(result)


def _train(
    settings: RunConfig, manifest: Manifest, screen: Screen, json: bool, overwrite: bool
) -> None:
    run = _run_dir(settings, overwrite)
    with _watched(run):
        from tl_cli.engine import train as engine

        result = engine.run(
            settings, manifest, run, screen.on_progress, on_plan=lambda p: screen.plan(p.to_json())
        )
    if json:
        print(jsonlib.dumps(result.to_json()))
    else:
        screen.result(result)


def _run_dir(settings: RunConfig, overwrite: bool) -> RunDir:
    from tl_cli.rundir import RunDir, free_name

    name = Path(settings.data.split(":")[-1]).resolve().stem or "run"
    path = Path(settings.output) if settings.output else free_name(Path("runs"), name)
    return RunDir.create(path, overwrite=overwrite)


@contextmanager
def _watched(run: RunDir) -> Iterator[None]:
    """Say in the run directory how the run ended, whatever the end."""
    try:
        yield
    except KeyboardInterrupt:
        run.status("interrupted")
        raise
    except BaseException as error:
        run.status("failed", error=str(error))
        raise
    run.status("done")


@app.command("recommend-freeze")
def recommend_freeze(
    data: Data = None,
    size: Annotated[int | None, typer.Option(min=1, help="Training images.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Classes.")] = None,
    similarity: Similarity = None,
    backbone: Backbone = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how much of the backbone to freeze, and why; with no data, the whole rule."""
    with _screen(json=json, quiet=quiet) as screen:
        from tl_cli import config as configs
        from tl_cli import freeze

        if data and (size or classes):
            raise typer.BadParameter("give --data, or --size and --classes, not both")
        if bool(size) != bool(classes):
            raise typer.BadParameter("--size and --classes go together")
        flags = {"data": data or "-", "similarity": similarity, "backbone": backbone}
        settings = configs.load(flags=flags)
        if not data and not size:
            _show_rule(settings, screen, json)
            return
        counts = _counts(settings, screen) if data else None
        plan = freeze.recommend(
            counts[0] if counts else size or 0,
            counts[1] if counts else classes or 0,
            _card(settings).blocks,
            backbone=settings.backbone,
            images_per_class=counts[2] if counts else None,
            similarity=settings.similarity,
        )
        if json:
            print(jsonlib.dumps(plan.to_json()))
        else:
            screen.plan(plan.to_json())


def _card(settings: RunConfig) -> Any:
    from tl_cli import catalog

    return catalog.get(settings.backbone)


def _counts(settings: RunConfig, screen: Screen) -> tuple[int, int, float]:
    from statistics import median

    counts = _manifest(settings, screen).counts("train")
    return sum(counts.values()), len(counts), median(counts.values())


def _show_rule(settings: RunConfig, screen: Screen, json: bool) -> None:
    """Show the rule's matrix: sizes down, similarity across, freeze ratio inside."""
    from tl_cli import freeze

    blocks, kinds = _card(settings).blocks, ("high", "medium", "low")
    ratios = {
        size: {
            kind: freeze.recommend(
                size, 2, blocks, backbone=settings.backbone, similarity=kind,
                images_per_class=size,
            ).freeze_ratio
            for kind in kinds
        }
        for size in (100, 400, 1_000, 4_000, 10_000, 100_000)
    }  # fmt: skip
    if json:
        print(jsonlib.dumps({"backbone": settings.backbone, "freeze_ratio": ratios}))
        return
    rows = [
        (f"{size:,} images", [f"{ratio:.2f}" for ratio in row.values()])
        for size, row in ratios.items()
    ]
    screen.out.print(f"Share of {settings.backbone}'s layers to freeze, by size and similarity:")
    screen.matrix(rows, [f"{kind} similarity" for kind in kinds])
    screen.out.print("For your own data: tl recommend-freeze --data DIR")


@app.command()
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
    with _screen(json=json, quiet=quiet) as screen:
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
    from tl_cli import cache, rundir
    from tl_cli import manifest as manifests
    from tl_cli.errors import unknown
    from tl_cli.results import Note, Progress

    if split not in (None, "all", *manifests.SPLITS):
        raise unknown("split", split or "", ("all", *manifests.SPLITS))
    if data is None:
        found = manifests.read_csv(run / rundir.MANIFEST)
    else:
        found = manifests.scan(
            data,
            bad_images=bad_images,
            cache=cache.folder(),
            on_progress=lambda done, total: screen.on_progress(Progress("scan", done, total)),
        )
    for text in found.notes:
        screen.on_progress(Note(text, warning=True))
    order = ("test", "val") if data is None else ("test",)
    return found, split or next((name for name in order if found.of(name)), "all")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
