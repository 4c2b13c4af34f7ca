"""`tl recommend-freeze`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import (
    Backbone,
    Data,
    Json,
    Policy,
    Quiet,
    Similarity,
    Source,
    Task,
    with_source,
)
from tl_cli.cli.session import LOADING, blocks_of, manifest_of, opened_screen
from tl_cli.data.manifest import REGRESSION, TASKS
from tl_cli.store.output import ANOTHER, writing_to

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.plan import FreezePlan

OUTPUT = Path("recommend-freeze")
SIZES = (100, 400, 1_000, 4_000, 10_000, 100_000)


def recommend_freeze(
    source: Source = None,
    data: Data = None,
    size: Annotated[int | None, typer.Option(min=1, help="Training images.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Classes.")] = None,
    task: Task = None,
    similarity: Similarity = None,
    policy: Policy = None,
    backbone: Backbone = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw the evidence: advice.png.")] = False,
    output: Annotated[
        Path | None, typer.Option(help=f"Folder for --plots.  [default: {OUTPUT}]")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how much of the backbone to freeze, and why; with no data, the whole rule."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli import catalog
        from tl_cli import config as configs

        data = with_source({"data": data}, source)["data"]
        if data and (size or classes):
            raise typer.BadParameter("give --data, or --size and --classes, not both")
        if bool(size) != bool(classes):
            raise typer.BadParameter("--size and --classes go together")
        if plots and (not data or similarity not in (None, "auto")):
            raise typer.BadParameter("--plots draws what is measured: give --data, no --similarity")
        if output and not plots:
            raise typer.BadParameter("--output is where --plots draws: give both")
        flags = {"task": task, "similarity": similarity, "policy": policy, "backbone": backbone}
        settings = configs.load(flags={"data": data or "-", **flags})
        if settings.backbone == catalog.BEST and (not data or settings.similarity):
            raise typer.BadParameter(
                "--backbone best is chosen by looking: give --data, no --similarity"
            )
        if size and classes:
            _show_plan(planned(settings, size, classes), screen, json)
        elif not data:
            _show_rule(settings, screen, json)
        elif settings.similarity:
            _show_plan(stated(settings, screen), screen, json)
        else:
            _show_measured(settings, screen, json, (output or OUTPUT) if plots else None)


def _show_plan(plan: FreezePlan, screen: Screen, json: bool) -> None:
    if json:
        print(jsonlib.dumps(plan.to_json()))
    else:
        from tl_cli.console.plan import show_plan

        show_plan(screen, plan.to_json())


def planned(
    settings: RunConfig, size: int, classes: int, images_per_class: float | None = None
) -> FreezePlan:
    """Return the plan for so many images, of which no more is known."""
    from tl_cli import catalog
    from tl_cli.plan import recommend

    return recommend(
        size,
        classes,
        blocks_of(catalog.get(settings.backbone, settings.preprocessing)),
        backbone=settings.backbone,
        images_per_class=images_per_class,
        similarity=settings.similarity,
        policy=settings.policy,
    )


def stated(settings: RunConfig, screen: Screen) -> FreezePlan:
    """Return the plan by the number of images and the similarity that was stated.

    No network is loaded.
    """
    from statistics import median

    from tl_cli.errors import TLError

    manifest = manifest_of(settings, screen, TASKS)
    if manifest.task == REGRESSION:
        raise TLError(
            "the labels are numbers, and what a similarity says was measured on classes",
            "leave out --similarity: tl looks at the images",
        )
    counts = manifest.counts("train")
    per_class = median(counts.values())
    return planned(settings, len(manifest.of("train")), len(counts), per_class)


def _show_measured(settings: RunConfig, screen: Screen, json: bool, folder: Path | None) -> None:
    """Look at the images, and plan by what they tell. `folder`: where that is to be drawn."""
    if folder:
        _prepare(folder)
    manifest = manifest_of(settings, screen, TASKS)
    screen.busy(LOADING)
    from tl_cli.engine.dry_run import dry_run

    found = dry_run(settings, manifest, screen.on_progress)
    if json:
        print(jsonlib.dumps(found.advice_json()))
    else:
        from tl_cli.console.plan import show_advice

        show_advice(screen, found)
    if folder:
        from tl_cli.report import advice_png

        with writing_to(f"'{folder}'"):
            screen.note(f"wrote {advice_png(found.plan, folder)}")


def _prepare(folder: Path) -> None:
    """Make the folder before anything is measured. Raises TLError where that cannot be."""
    from tl_cli.errors import TLError
    from tl_cli.report.figures.evidence import ADVICE
    from tl_cli.store.marker import is_ours, make_marked

    with writing_to(f"'{folder}'"):
        make_marked(folder)
        if (folder / ADVICE).exists() and not is_ours(folder):
            raise TLError(f"'{folder / ADVICE}' is there already", ANOTHER)


def _show_rule(settings: RunConfig, screen: Screen, json: bool) -> None:
    """Show the rule's matrix: sizes down, similarity across, freeze ratio inside."""
    from tl_cli import catalog
    from tl_cli.plan import recommend

    blocks = blocks_of(catalog.get(settings.backbone, settings.preprocessing))
    kinds = ("high", "medium", "low")
    ratios = {
        size: {
            kind: recommend(
                size, 2, blocks, backbone=settings.backbone, similarity=kind,
                images_per_class=size,
            ).freeze_ratio
            for kind in kinds
        }
        for size in SIZES
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
