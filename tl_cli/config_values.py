"""What the value of an option may be, beyond its type: each a type of pydantic's with its check.

Knows nothing of what the options decide.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from tl_cli import catalog, engines
from tl_cli.data import channels as bands
from tl_cli.errors import TLError, did_you_mean

FREEZE = ("auto", "head", "half", "full")
COLUMNS = ("path", "label", "split", "group")


def _freeze(value: str) -> str:
    if value in FREEZE:
        return value
    try:
        ratio = float(value)
    except ValueError:
        near = did_you_mean(value, FREEZE)
        raise ValueError(
            f"must be {', '.join(FREEZE)} or a ratio from 0 to 1" + (f"; {near}" if near else "")
        ) from None
    if not 0 <= ratio <= 1:
        raise ValueError("must be a ratio from 0 (train everything) to 1 (train the head only)")
    return f"{ratio:g}"


def _backbone(value: str) -> str:
    if value == catalog.BEST:
        return value
    try:
        return catalog.get(value).name
    except TLError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None


def _columns(value: str | None) -> str | None:
    for pair in value.split(",") if value else ():
        ours, equals, theirs = pair.partition("=")
        if not equals or not theirs or ours.strip() not in COLUMNS:
            raise ValueError(f"must be like path=file,label=species, of {', '.join(COLUMNS)}")
    return value


def _engine(value: str | None) -> str | None:
    if value and (wrong := engines.problem(value)):
        raise ValueError(wrong)
    return value


def _devices(value: str | None) -> str | None:
    if value and value != "all" and not (value.isdecimal() and 1 <= int(value) <= 64):
        raise ValueError("must be all, or how many: 1 to 64")
    return value


def _channels(value: str | None) -> str | None:
    if value:
        bands.parse(value)
    return value


def _text(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value


Freeze = Annotated[str, BeforeValidator(_text), AfterValidator(_freeze)]
Backbone = Annotated[str, AfterValidator(_backbone)]
Engine = Annotated[str | None, AfterValidator(_engine)]
Devices = Annotated[str | None, BeforeValidator(_text), AfterValidator(_devices)]
Columns = Annotated[str | None, AfterValidator(_columns)]
Channels = Annotated[str | None, AfterValidator(_channels)]
