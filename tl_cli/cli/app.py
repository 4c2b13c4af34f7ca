"""The commands: parse, load, call, show. Every body is short; what they do lives below.

Nothing here imports the framework before it is needed, so that help and mistakes are told at once.
"""

from __future__ import annotations

from tl_cli.cli.interrupts import interrupts_kill

with interrupts_kill():  # this takes a third of a second
    import atexit
    import os
    import sys
    from typing import Annotated

    import typer

    from tl_cli import __version__
    from tl_cli.cli.backbones import backbones
    from tl_cli.cli.blocks import blocks
    from tl_cli.cli.cache import cache
    from tl_cli.cli.compare import compare
    from tl_cli.cli.completion import completed
    from tl_cli.cli.demo import demo
    from tl_cli.cli.embed import embed
    from tl_cli.cli.evaluate import evaluate
    from tl_cli.cli.explain import explain
    from tl_cli.cli.export import export
    from tl_cli.cli.inspect import inspect
    from tl_cli.cli.panels import GroupedCommands, PanelledCommand
    from tl_cli.cli.predict import predict
    from tl_cli.cli.rank import rank
    from tl_cli.cli.recommend_freeze import recommend_freeze
    from tl_cli.cli.report import report
    from tl_cli.cli.runs import runs
    from tl_cli.cli.search import search
    from tl_cli.cli.session import INTERRUPTED
    from tl_cli.cli.suggest import suggest
    from tl_cli.cli.summarize import summarize
    from tl_cli.cli.train import EXAMPLES, train

FRAMEWORK = "tensorflow"

app = typer.Typer(
    name="tl",
    help="Train an image classifier by transfer learning: look once, measure, decide, explain.",
    cls=GroupedCommands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (
    inspect,
    train,
    evaluate,
    predict,
    explain,
    demo,
    embed,
    search,
    suggest,
    report,
    export,
    recommend_freeze,
    rank,
    backbones,
    blocks,
    summarize,
    compare,
    runs,
    cache,
):
    app.command(
        command.__name__.replace("_", "-"),
        # told whole: the list of commands would cut a sentence at 45 characters
        short_help=command.__doc__,
        cls=PanelledCommand if command is train else None,
        epilog=EXAMPLES if command is train else None,
    )(command)


@app.callback(invoke_without_command=True)
def version(
    ctx: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if show:
        print(f"tl {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main() -> None:
    """Run the command line."""
    code = _code()
    if FRAMEWORK in sys.modules:  # taking it apart would keep the user waiting for seconds
        atexit._run_exitfuncs()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _code() -> int:
    """Run the command line and return its exit code."""
    code: object = 0
    try:
        with interrupts_kill():
            from tl_cli.console import streams

            streams.install()
            command = completed(typer.main.get_command(app))
        command()
    except KeyboardInterrupt:  # between two of those who end something well
        code = INTERRUPTED
    except SystemExit as end:
        code = end.code
    if why := streams.lost_output():
        print(f"error: standard output could not be written: {why.lower()}", file=sys.stderr)
        return 1
    return code if isinstance(code, int) else int(code is not None)
