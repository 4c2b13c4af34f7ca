"""Options of the commands, made from the fields of RunConfig: no text and no default stands twice.

A value is handed on as it was typed, for RunConfig to judge, so that all mistakes come together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from tl_cli.config import Option, RunConfig, option

METAVARS = {int: "INTEGER", float: "FLOAT", str: "TEXT"}


def help_of(name: str) -> str:
    """Return the help of a field, ending in its default where it has one."""
    field = option(name)
    default = _default(name, field)
    return f"{field.help}  [default: {default}]" if default else field.help


def metavar_of(name: str) -> str | None:
    """Return what stands for the value of a field: its choices or its type; a switch has none."""
    field = option(name)
    kinds = [kind for kind in _alternatives(field.type) if kind is not NoneType]
    if field.metavar or kinds == [bool]:
        return field.metavar or None
    choices = [choice for kind in kinds for choice in get_args(kind)]
    if choices and field.default is None:
        choices = [field.unset, *choices]
    return f"[{'|'.join(choices)}]" if choices else METAVARS[kinds[0]]


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union; of any other type, itself."""
    return (kind,) if get_origin(kind) in (None, Literal) else get_args(kind)


def _default(name: str, field: Option) -> str:
    """Return the default as help shows it; "" where it must be given or is a switch that is off."""
    if field.default is None:
        return field.unset
    if field.type is bool:
        return name.replace("_", "-") if field.default else ""
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def shared(name: str) -> Any:
    """Return the option of a field for a command that knows no panels."""
    return typer.Option(help=help_of(name), metavar=metavar_of(name), show_default=False)


Data = Annotated[str | None, shared("data")]
DataDir = Annotated[str | None, shared("data_dir")]
Columns = Annotated[str | None, shared("columns")]
Task = Annotated[str | None, shared("task")]
Channels = Annotated[str | None, shared("channels")]
BadImages = Annotated[str | None, shared("bad_images")]
Backbone = Annotated[str | None, shared("backbone")]
Similarity = Annotated[str | None, shared("similarity")]
Policy = Annotated[str | None, shared("policy")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Tell each stage, the evidence and all reasons.")
]
Source = Annotated[
    str | None, typer.Argument(metavar="[SOURCE]", help="The same as --data.", show_default=False)
]


def with_source(flags: Mapping[str, Any], source: str | None) -> Mapping[str, Any]:
    """Return the flags with the data that stand alone; given twice, they must be the same."""
    data = flags.get("data")
    if source and data and data != source:
        raise typer.BadParameter(f"the data are given twice: {source} and --data {data}")
    return {**flags, "data": source} if source else flags


def with_config_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with a flag for every field of RunConfig, of the same name.

    `command` takes them together as its first argument, a mapping of those that were given; its
    other parameters stay its own flags.
    """
    _flags, *own = inspect.signature(command, eval_str=True).parameters.values()
    flags = [_parameter(name) for name in RunConfig.model_fields]

    @wraps(command)
    def run(**values: Any) -> None:
        given: Mapping[str, Any] = {
            flag.name: value for flag in flags if (value := values.pop(flag.name)) is not None
        }
        command(given, **values)

    parameters = [*flags, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _parameter(name: str) -> inspect.Parameter:
    """Return the parameter that typer makes the flag of this field from."""
    field = option(name)
    switch = field.type is bool
    flag = typer.Option(
        # one that is on can be turned off; one that is off can only be turned on
        *([f"--{name.replace('_', '-')}"] if switch and not field.default else []),
        help=help_of(name),
        metavar=metavar_of(name),
        rich_help_panel=field.group,
        hidden=field.rare,
        show_default=False,
    )
    kind: Any = Annotated[bool | None if switch else str | None, flag]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
