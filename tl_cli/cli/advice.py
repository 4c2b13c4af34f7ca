"""`tl recommend-freeze`."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli.cli.shared import Backbone, Data, Json, Quiet, Similarity, manifest_of, opened_screen

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console import Screen


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
    with opened_screen(json=json, quiet=quiet) as screen:
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

    counts = manifest_of(settings, screen).counts("train")
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
