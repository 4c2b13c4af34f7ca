"""Help under headings: the commands by how soon one needs them, many options by what they are for.

Knows nothing of what commands and options mean.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

QUICK_START = (  # each of them one line of 78 characters
    ("tl inspect photos", "what is in photos/CLASS/*, what is wrong?"),
    ("tl train photos", "learn to tell the classes apart"),
    ("tl evaluate runs/photos", "how good is it, where does it err?"),
    ("tl predict runs/photos new.jpg", "what does a new image show?"),
)
FIRST = ("inspect", "train", "evaluate", "predict")
INSIDE = ("backbones", "blocks", "summarize", "runs", "cache")
FURTHER = "Going further"  # where every other command stands


class GroupedCommands(TyperGroup):
    """Commands whose help begins with a quick start, and lists them under three headings."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the quick start, the usage, the commands, the options."""
        formatter.write_dl(QUICK_START)
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)
        self.format_commands(ctx, formatter)
        TyperCommand.format_options(self, ctx, formatter)  # type: ignore[arg-type]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section a heading, each command with its whole sentence."""
        others = [n for n in self.list_commands(ctx) if n not in (*FIRST, *INSIDE)]
        for title, names in (("First steps", FIRST), (FURTHER, others), ("Looking inside", INSIDE)):
            there = (command for name in names if (command := self.get_command(ctx, name)))
            rows = [(command.name or "", command.short_help or "") for command in there]
            with formatter.section(title):
                formatter.write_dl(rows)


class PanelledCommand(TyperCommand):
    """A command whose help lists each option under the panel that the option names."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section a panel, in the order of the options; hidden ones are left out."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record:
                panel = getattr(param, "rich_help_panel", None) or "Options"
                panels.setdefault(panel, []).append(record)
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _show_all(ctx: typer.Context, wanted: bool) -> None:
    if not wanted:
        return
    options: list[Any] = list(ctx.command.params)
    for param in options:
        param.hidden = False  # of this invocation: typer builds its commands anew for each
    typer.echo(ctx.get_help())
    raise typer.Exit


HelpAll = Annotated[
    bool,
    typer.Option(
        "--help-all", is_eager=True, callback=_show_all, help="Show the rare options too and exit."
    ),
]
