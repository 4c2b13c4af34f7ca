"""What every function for Python works in: a silent screen, its options, the caller's own seeds.

Knows nothing of what the functions do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.console.screen import Screen
    from tl_cli.results.progress import OnProgress


@contextmanager
def session(on_progress: OnProgress | None) -> Iterator[Screen]:
    """Give a screen that hands on what happens; what a disk does becomes a TLError."""
    from tl_cli.cli.session import of_the_system
    from tl_cli.console.silent import SilentScreen
    from tl_cli.results.progress import silent
    from tl_cli.store import notices

    screen = SilentScreen(on_progress or silent)
    try:
        with (
            _random_states_kept(),
            screen,
            notices.listening(lambda text: screen.note(text, warning=True)),
        ):
            yield screen
    except OSError as error:
        raise of_the_system(error) from error


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """Put back what `engine.prepare` sets for the whole process: the caller has a life of its own.

    TensorFlow's own seed cannot be read, and stays.
    """
    import random
    import sys

    import numpy as np

    drawn, numpys = random.getstate(), np.random.get_state()
    keras = sys.modules.get("keras")  # a mistake is told before it is loaded
    policy = keras.config.dtype_policy() if keras else None
    try:
        yield
    finally:
        random.setstate(drawn)
        np.random.set_state(numpys)
        if keras := sys.modules.get("keras"):
            keras.config.set_dtype_policy(policy or keras.config.floatx())


def settings_of(data: str | os.PathLike[str], options: Mapping[str, Any]) -> Any:
    """Return the configuration. Raises one TLError that names every mistake."""
    from tl_cli import config

    values = {name: plain(value) for name, value in {"data": data, **options}.items()}
    if isinstance(mirror := values.get("mirror"), bool):
        values["mirror"] = "yes" if mirror else "no"
    try:
        return config.load(flags=values)
    except TLError as error:
        raise TLError(error.message, "every option: tl train --help-all") from None


def plain(value: Any) -> Any:
    """Return a value as RunConfig knows it."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value
