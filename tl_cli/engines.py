"""The engines of `--engine`, which have others do the pass of all images: names and what they need.

Knows nothing of what they do.
"""

from __future__ import annotations

import importlib.util

from tl_cli.errors import TLError

RAY = "ray"


def address_of(engine: str) -> str | None:
    """Return where the cluster is of `ray:ADDRESS`; None for `ray`, which begins one here."""
    return engine.partition(":")[2] or None


def problem(engine: str) -> str:
    """Say what is wrong with the name of an engine; "" for nothing."""
    name, colon, address = engine.partition(":")
    if name == RAY and bool(colon) == bool(address.strip()):
        return ""
    return (
        f"must be {RAY}, or {RAY}:ADDRESS of a cluster, such as {RAY}:auto or {RAY}:10.0.0.1:6379"
    )


def require(engine: str | None) -> None:
    """Raise TLError where an engine is asked for that is not installed."""
    if engine and importlib.util.find_spec(RAY) is None:
        raise TLError("--engine ray needs Ray, which is not installed", "pip install 'tl-cli[ray]'")
