"""`tl train`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli.cli.options import (
    Backbone,
    BadImages,
    Data,
    Freeze,
    Json,
    Policy,
    Quiet,
    Similarity,
    manifest_of,
    opened_screen,
)
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.engine.networks.classifier import Classifier
    from tl_cli.store.run_dir import RunDir


def train(
    data: Data = None,
    backbone: Backbone = None,
    from_scratch: Annotated[
        bool | None, typer.Option("--from-scratch", help="Random weights in place of pretrained.")
    ] = None,
    similarity: Similarity = None,
    freeze: Freeze = None,
    policy: Policy = None,
    trial: Annotated[
        bool | None,
        typer.Option("--trial", help="Try the plans out for a short while, and take the best."),
    ] = None,
    unfreeze: Annotated[
        str | None, typer.Option(help="at_once, or gradual: from the end backwards in steps.")
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="auto, last, or multi (joins several depths).")
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="Of the last map: avg, max, avgmax, flatten or gem.")
    ] = None,
    image_size: Annotated[
        str | None, typer.Option(help="Pixels; auto: the backbone's, less for small images.")
    ] = None,
    epochs: Annotated[str | None, typer.Option(help="Of fine-tuning; auto: from the plan.")] = None,
    batch_size: Annotated[str | None, typer.Option(help="Images a step.")] = None,
    learning_rate: Annotated[str | None, typer.Option(help="Peak, of the tuned layers.")] = None,
    weight_decay: Annotated[str | None, typer.Option(help="Of AdamW.")] = None,
    layer_decay: Annotated[
        str | None, typer.Option(help="Learning rate of a block relative to the next one.")
    ] = None,
    label_smoothing: Annotated[str | None, typer.Option(help="0 to 1.")] = None,
    ema: Annotated[
        str | None, typer.Option(help="Momentum of the averaged weights, e.g. 0.99; 0: none.")
    ] = None,
    max_minutes: Annotated[
        str | None, typer.Option(help="Fewer epochs where more do not fit.")
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="Of rare classes: none, weights or oversample.")
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="auto, none, light, medium or strong.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="May images be mirrored? auto, yes or no.")
    ] = None,
    views: Annotated[
        str | None, typer.Option(help="Augmented views kept an image when part is frozen.")
    ] = None,
    cache: Annotated[
        bool | None, typer.Option(help="Keep features on disk, or stream everything.")
    ] = None,
    cache_memory: Annotated[
        str | None, typer.Option(help="GB of decoded images to hold in memory.")
    ] = None,
    feature_dtype: Annotated[
        str | None, typer.Option(help="How features are kept: float16 or float32.")
    ] = None,
    aux_heads: Annotated[
        str | None, typer.Option(help="Auxiliary classifiers inside the trained part.")
    ] = None,
    aux_weight: Annotated[str | None, typer.Option(help="Of each one's loss.")] = None,
    gradient_flow: Annotated[
        bool | None, typer.Option("--gradient-flow", help="Record the gradient at every layer.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32, mixed_float16 or mixed_bfloat16.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help=".weights.h5 of the backbone, in place of its own.")
    ] = None,
    val: Annotated[str | None, typer.Option(help="Share of images for validation.")] = None,
    test: Annotated[str | None, typer.Option(help="Share of images for the test.")] = None,
    folds: Annotated[str | None, typer.Option(help="Cross-validation: how many folds.")] = None,
    fold: Annotated[str | None, typer.Option(help="Which fold validates, from 0.")] = None,
    limit: Annotated[str | None, typer.Option(help="Use so many images, by class.")] = None,
    limit_per_class: Annotated[str | None, typer.Option(help="Use so many a class.")] = None,
    keep_duplicates: Annotated[
        bool | None,
        typer.Option("--keep-duplicates", help="Train on copies of test images too."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Of a table: path=file,label=species,...")
    ] = None,
    data_dir: Annotated[str | None, typer.Option(help="Where tfds data sets lie.")] = None,
    bad_images: BadImages = None,
    report: Annotated[
        bool | None, typer.Option(help="End with a page to look at, report.html.")
    ] = None,
    seed: Annotated[str | None, typer.Option(help="Of the split and the training.")] = None,
    output: Annotated[str | None, typer.Option(help="Run directory; auto: runs/NAME.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of these options.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, over the file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the run in --output.")] = False,
    compare_scratch: Annotated[
        bool, typer.Option("--compare-scratch", help="Train from scratch too, and compare.")
    ] = False,
    compare_freeze: Annotated[
        bool, typer.Option("--compare-freeze", help="Train head, half and full too, and compare.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and time it only.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on a folder of images."""
    flags = {k: v for k, v in locals().items() if k not in _NOT_CONFIG}
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli import config as configs
        from tl_cli.store.run_dir import RunDir

        settings = configs.load(config, set_ or (), flags)
        _require_weights(settings)
        others = _others(settings, compare_scratch, compare_freeze)
        if others and (settings.from_scratch or dry_run):
            raise typer.BadParameter("a comparison goes with a training from pretrained weights")
        _check(settings)
        if settings.output and not (dry_run or others):
            RunDir(Path(settings.output)).check(overwrite=overwrite)
        manifest = manifest_of(settings, screen)
        if dry_run:
            _dry_run(settings, manifest, screen, json)
        elif others:
            _compare(settings, others, manifest, screen, json, overwrite)
        else:
            told = _train(settings, manifest, screen, json, _run_dir(settings, overwrite))
            if json:
                print(jsonlib.dumps(told))


_NOT_CONFIG = (
    "config", "set_", "overwrite", "compare_scratch", "compare_freeze", "dry_run", "json", "quiet",
)  # fmt: skip
PLANS = ("head", "half", "full")


def _require_weights(settings: RunConfig) -> None:
    """Raise TLError, before the images are looked at, where there is nothing to start from."""
    from tl_cli import catalog

    if not settings.weights and not settings.from_scratch:
        catalog.require_pretrained(catalog.get(settings.backbone))


def _check(settings: RunConfig) -> None:
    given = f"freeze {settings.freeze}" if settings.freeze != "auto" else ""
    given = "--from-scratch" if settings.from_scratch else given
    if settings.trial and given:
        raise TLError(
            f"--trial finds out how much to freeze, so it cannot go with {given}",
            "leave one of them out",
        )


def _dry_run(settings: RunConfig, manifest: Manifest, screen: Screen, json: bool) -> None:
    from tl_cli.engine.dry_run import dry_run

    result = dry_run(settings, manifest, screen.on_progress)
    if json:
        print(jsonlib.dumps(result.to_json()))
        return
    from tl_cli.console.plan import show_dry_run

    show_dry_run(screen, result)


def _train(
    settings: RunConfig, manifest: Manifest, screen: Screen, json: bool, run: RunDir
) -> dict[str, Any]:
    """Train one run, show it unless `json`, and return all that --json tells of it."""
    with _watched(run):
        from tl_cli.console.plan import show_plan
        from tl_cli.engine.train import train as train_run

        trained = train_run(
            settings,
            manifest,
            run,
            screen.on_progress,
            on_plan=lambda plan: show_plan(screen, plan.to_json()),
        )
        result = trained.result
    if settings.gradient_flow:
        _draw_gradients(run, screen)
    if not json:
        screen.result(result)
    report = _report(run, screen, trained.classifier) if settings.report else None
    if report and not json:
        screen.out.print(f"Report: {report}", highlight=False, markup=False, soft_wrap=True)
    return {**result.to_json(), "report": report}


def _report(run: RunDir, screen: Screen, built: Classifier) -> str | None:
    """Write the report; a run that is whole is not lost where that cannot be done."""
    from tl_cli.cli.report import written
    from tl_cli.errors import TLError

    try:
        return str(written(run, built=built))
    except TLError as error:
        screen.note(f"no report was written: {error.message}", warning=True)
        return None


def _others(settings: RunConfig, scratch: bool, plans: bool) -> dict[str, RunConfig]:
    """Return the runs that this one is to be compared with, by what their names end in."""
    random = {"from_scratch": True, "weights": None, "similarity": None, "freeze": "auto"}
    changed: dict[str, dict[str, Any]] = {"scratch": random} if scratch else {}
    if plans:
        changed |= {name: {"freeze": name, "trial": False} for name in PLANS}
    return {name: settings.model_copy(update=update) for name, update in changed.items()}


def _compare(
    settings: RunConfig,
    others: Mapping[str, RunConfig],
    manifest: Manifest,
    screen: Screen,
    json: bool,
    overwrite: bool,
) -> None:
    """Train in several ways on one split, with the same limits, and end with the comparison."""
    from tl_cli.cli import compare
    from tl_cli.store.run_dir import RunDir

    run = _run_dir(settings, overwrite)
    runs = {run: settings} | {
        RunDir.create(run.path.with_name(f"{run.path.name}-{name}"), overwrite=overwrite): own
        for name, own in others.items()
    }
    losses = {}
    for each, own in runs.items():
        told = _train(own, manifest, screen, json, each)
        losses[each.path.name] = told["metrics"]["val"]["log_loss"]
    best = min(losses, key=lambda name: losses[name])
    compare.show([each.path for each in runs], screen, json, best=best)


def _draw_gradients(run: RunDir, screen: Screen) -> None:
    from tl_cli.report.figures.training import gradients_png
    from tl_cli.store import run_dir

    if (run / run_dir.GRADIENTS).is_file():
        screen.note(f"wrote {gradients_png(run / run_dir.GRADIENTS, run / 'gradients.png')}")


def _run_dir(settings: RunConfig, overwrite: bool) -> RunDir:
    from tl_cli.store.run_dir import RunDir, free_name

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
