"""What a shell offers where TAB is pressed: the values of options, backbones, runs.

Commands and options it knows from typer. Imports nothing that takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tl_cli import catalog
from tl_cli.config import RunConfig, option

RUN_PARAMETERS = ("checkpoint", "run", "runs", "resume", "against")
BACKBONE_PARAMETERS = ("backbone", "network")
FOLDER = "runs"  # where runs lie unless --output says otherwise

Values = Callable[[Any, Any, str], list[str]]


def completed(command: Any) -> Any:
    """Return a group of commands whose parameters offer the values that they take."""
    for each in command.commands.values():
        for param in each.params:
            values = _values_of(param.name or "")
            if values:
                param._custom_shell_complete = values
    return command


def _values_of(name: str) -> Values | None:
    if name in RUN_PARAMETERS:
        return lambda _, __, begun: _beginning(_runs(begun), begun)
    if name in BACKBONE_PARAMETERS:
        return lambda _, __, begun: _beginning(iter(catalog.CARDS), begun)
    choices = choices_of(name) if name in RunConfig.model_fields else ()
    if not choices:
        return None
    return lambda _, __, begun: _beginning(iter(choices), begun)


def choices_of(name: str) -> tuple[str, ...]:
    """Return the words that a field takes; none where it takes anything."""
    from tl_cli.cli.options import metavar_of

    shown = metavar_of(name) or ""
    if not shown.startswith("["):
        return ()
    words = shown.strip("[]").split("|")
    return tuple(word for word in words if word.islower()) if option(name) else ()


def _runs(begun: str) -> Iterator[str]:
    """Yield the runs here and in runs/, and those in the folder that is being typed."""
    from tl_cli.store.run_dir import STATUS

    typed = Path(begun) if begun.endswith("/") else Path(begun).parent
    for folder in dict.fromkeys((Path(FOLDER), typed)):
        for status in sorted(folder.glob(f"*/{STATUS}")):
            yield str(status.parent)


def _beginning(values: Iterator[str], begun: str) -> list[str]:
    return [value for value in values if value.startswith(begun)]
