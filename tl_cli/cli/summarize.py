"""`tl summarize`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli.cli.options import Json
from tl_cli.cli.session import opened_screen

if TYPE_CHECKING:
    from tl_cli.catalog import Card
    from tl_cli.console.screen import Screen
    from tl_cli.results.network_summary import LayerRow, Reduction, Summary


def summarize(
    name: Annotated[
        str,
        typer.Argument(help="A name from `tl backbones`, or a module: inception, residual, ..."),
    ],
    freeze: Annotated[
        str | None,
        typer.Option(metavar="[head|half|full|RATIO]", help="Mark what this leaves frozen."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=32, max=1024, help="Pixels, of a network.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option(help="Of a module: height,width,channels.")
    ] = None,
    blocks: Annotated[bool, typer.Option("--blocks", help="A line a block, not a layer.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw it into this PNG.")] = None,
    json: Json = False,
) -> None:
    """Show a network's layers: shapes, parameters, multiply-adds, and what a plan freezes."""
    with opened_screen(json=json) as screen:
        from tl_cli import catalog
        from tl_cli.errors import unknown
        from tl_cli.results.network_summary import MODULES

        if name in MODULES:
            if freeze or image_size or blocks:
                raise typer.BadParameter(f"{name} is a module: give --input-shape alone")
            found, model = _module(name, input_shape)
        elif name in catalog.CARDS:
            if input_shape:
                raise typer.BadParameter(f"{name} is a network: give --image-size")
            found, model = _network(catalog.get(name), freeze, image_size, blocks)
        else:
            raise unknown("network or module", name, [*catalog.CARDS, *MODULES])
        if plot:
            from functools import partial

            from tl_cli.engine import summarize as engine
            from tl_cli.report.diagram import network_png

            screen.note(f"wrote {network_png(found, plot, partial(engine.draw, model))}")
        if json:
            print(jsonlib.dumps(found.to_json()))
        else:
            _show(found, screen)


def _module(name: str, given: str | None) -> tuple[Summary, Any]:
    from tl_cli.results.network_summary import MODULES

    shape: tuple[int, ...] = _shape(given) if given else MODULES[name]
    from tl_cli.engine import summarize

    found: tuple[Summary, Any] = summarize.module(name, shape)
    return found


def _shape(given: str) -> tuple[int, ...]:
    from tl_cli.errors import TLError

    try:
        height, width, channels = (int(part) for part in given.split(","))
    except ValueError:
        height = width = channels = 0
    if min(height, width, channels) < 1:
        raise TLError(f"--input-shape {given} is no shape", "height,width,channels: 28,28,192")
    return height, width, channels


def _network(
    card: Card, freeze: str | None, image_size: int | None, blocks: bool
) -> tuple[Summary, Any]:
    from dataclasses import replace

    from tl_cli.plan.blocks import nearest_cut
    from tl_cli.results import network_summary as summaries

    cut = nearest_cut(card.blocks, _ratio(freeze)) if freeze else 0
    from tl_cli.engine import summarize

    found, model = summarize.network(card, image_size or card.image_size, cut)
    return (replace(found, rows=summaries.by_block(found.rows)) if blocks else found), model


def _ratio(freeze: str) -> float:
    from tl_cli.errors import TLError
    from tl_cli.plan import NAMED_RATIO

    try:
        return NAMED_RATIO[freeze] if freeze in NAMED_RATIO else float(freeze)
    except ValueError:
        raise TLError(
            f"--freeze {freeze} is no ratio", f"{', '.join(NAMED_RATIO)}, or a number from 0 to 1"
        ) from None


def _show(found: Summary, screen: Screen) -> None:
    frozen = any(row.frozen for row in found.rows)
    columns = ["kind", "output", "parameters", "multiply-adds", *(["frozen"] if frozen else [])]
    screen.matrix([(row.name, _cells(row, frozen)) for row in found.rows], columns)
    totals = found.totals
    shape = " x ".join(map(str, found.input_shape))
    screen.out.print(
        f"{found.name} on {shape}: {totals['parameters']:,} parameters, "
        f"{_millions(totals['multiply_adds'])} multiply-adds",
        highlight=False,
    )
    if frozen:
        screen.out.print(
            f"Frozen: {totals['frozen_parameters']:,} parameters, "
            f"{_millions(totals['frozen_multiply_adds'])} multiply-adds; "
            f"trained: {totals['trained_parameters']:,}",
            highlight=False,
        )
    if found.reductions:
        _show_reductions(found.reductions, screen)


def _cells(row: LayerRow, frozen: bool) -> list[str]:
    return [
        row.kind,
        " x ".join(map(str, row.output_shape)),
        f"{row.parameters:,}" if row.parameters else "",
        _millions(row.multiply_adds) if row.multiply_adds else "",
        *(["frozen" if row.frozen else ""] if frozen else []),
    ]


def _show_reductions(reductions: tuple[Reduction, ...], screen: Screen) -> None:
    screen.out.print("\nGoogLeNet's modules without (naive) and with 1x1 reductions:")
    rows = [(each.module, _compared(each)) for each in reductions]
    columns = [
        *("input", "parameters: naive", "reduced", "times"),
        *("multiply-adds: naive", "reduced", "times"),
    ]
    screen.matrix(rows, columns)


def _compared(each: Reduction) -> list[str]:
    naive, reduced = each.naive, each.reduced
    return [
        " x ".join(map(str, each.input_shape)),
        f"{naive.parameters:,}",
        f"{reduced.parameters:,}",
        f"{naive.parameters / reduced.parameters:.1f}",
        _millions(naive.multiply_adds),
        _millions(reduced.multiply_adds),
        f"{naive.multiply_adds / reduced.multiply_adds:.1f}",
    ]


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M" if count < 1e9 else f"{count / 1e9:,.2f} G"
