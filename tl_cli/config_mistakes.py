"""What is wrong with a configuration, in sentences. Knows nothing of its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tl_cli.errors import TLError, did_you_mean

HINT = "every key: tl train --help-all"


def sentence(detail: Any, origin: Mapping[str, str], keys: Iterable[str]) -> str:
    """Say one of pydantic's errors: what was received, from where, what is valid, what is near.

    `origin`: where each key was given; `keys`: those that there are.
    """
    key = str(detail["loc"][0])
    where = f" ({origin[key]})" if origin.get(key) else ""
    if detail["type"] == "extra_forbidden":
        near = did_you_mean(key, keys)
        return f"{key}{where}: unknown key" + (f"; {near}" if near else "")
    if detail["type"] == "missing":
        return f"{key}: must be given (tl train photos, or {key}: in the config file)"
    reason = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    reason, _, near = reason.partition("; ")
    if detail["type"] == "literal_error":
        options = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        near = did_you_mean(str(detail["input"]), options)
    said = detail["input"] is None or repr(detail["input"]) in reason
    got = "" if said else f", got {detail['input']!r}"
    return f"{key}{where}: {reason}{got}" + (f"; {near}" if near else "")


def together(mistakes: list[str]) -> TLError:
    """Return one error that tells every mistake."""
    if len(mistakes) == 1:
        return TLError(mistakes[0], HINT)
    lines = "".join(f"\n  {mistake}" for mistake in mistakes)
    return TLError(f"{len(mistakes)} mistakes in the configuration:{lines}", HINT)
