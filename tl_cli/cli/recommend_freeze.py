"""`tl recommend-freeze`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Backbone, Data, Json, Policy, Quiet, Similarity
from tl_cli.cli.session import blocks_of, manifest_of, opened_screen

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen

SIZES = (100, 400, 1_000, 4_000, 10_000, 100_000)


def recommend_freeze(
    data: Data = None,
    size: Annotated[int | None, typer.Option(min=1, help="Training images.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Classes.")] = None,
    similarity: Similarity = None,
    policy: Policy = None,
    backbone: Backbone = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw the evidence: advice.png.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how much of the backbone to freeze, and why; with no data, the whole rule."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli import config as configs

        if data and (size or classes):
            raise typer.BadParameter("give --data, or --size and --classes, not both")
        if bool(size) != bool(classes):
            raise typer.BadParameter("--size and --classes go together")
        if plots and (not data or similarity not in (None, "auto")):
            raise typer.BadParameter("--plots draws what is measured: give --data, no --similarity")
        flags = {"similarity": similarity, "policy": policy, "backbone": backbone}
        settings = configs.load(flags={"data": data or "-", **flags})
        if size and classes:
            _show_plan(settings, size, classes, screen, json)
        elif not data:
            _show_rule(settings, screen, json)
        elif settings.similarity:
            _show_stated(settings, screen, json)
        else:
            _show_measured(settings, screen, json, plots)


def _show_plan(
    settings: RunConfig,
    size: int,
    classes: int,
    screen: Screen,
    json: bool,
    images_per_class: float | None = None,
) -> None:
    from tl_cli import catalog
    from tl_cli.plan import recommend

    plan = recommend(
        size,
        classes,
        blocks_of(catalog.get(settings.backbone, settings.preprocessing)),
        backbone=settings.backbone,
        images_per_class=images_per_class,
        similarity=settings.similarity,
        policy=settings.policy,
    ).to_json()
    if json:
        print(jsonlib.dumps(plan))
    else:
        from tl_cli.console.plan import show_plan

        show_plan(screen, plan)


def _show_stated(settings: RunConfig, screen: Screen, json: bool) -> None:
    """Plan by the number of images and the similarity that was stated; no network is loaded."""
    from statistics import median

    counts = manifest_of(settings, screen).counts("train")
    size, per_class = sum(counts.values()), median(counts.values())
    _show_plan(settings, size, len(counts), screen, json, per_class)


def _show_measured(settings: RunConfig, screen: Screen, json: bool, plots: bool) -> None:
    """Look at the images, and plan by what they tell."""
    manifest = manifest_of(settings, screen)
    from tl_cli.engine.dry_run import dry_run

    found = dry_run(settings, manifest, screen.on_progress)
    if json:
        print(jsonlib.dumps(found.advice_json()))
    else:
        from tl_cli.console.plan import show_advice

        show_advice(screen, found)
    if plots:
        from tl_cli.report import advice_png

        screen.note(f"wrote {advice_png(found.plan, Path())}")


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
