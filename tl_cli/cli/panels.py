"""The help of a command with many options: under headings, the rare ones on request.

Knows nothing of what the options mean.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand


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
