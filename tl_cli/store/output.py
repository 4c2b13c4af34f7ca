"""Where a command is asked to write: is it free, can it be written to, in one sentence if not.

Knows nothing of what is written. A full disk stays an OSError: it is told once, for all commands.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tl_cli.errors import TLError

ANOTHER = "choose another --output"


@contextmanager
def writing_to(place: str, hint: str = ANOTHER) -> Iterator[None]:
    """Say in one sentence that a place cannot be written to; a full disk is told elsewhere."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TLError(f"cannot write to {place}: {error.strerror}", hint) from error


def make_writable(folder: Path) -> None:
    """Make a folder if need be. Raises TLError where it cannot be written to."""
    with writing_to(f"'{folder}'"):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def check_free(file: Path, *, overwrite: bool) -> None:
    """Raise TLError where a file is not to be written: something is there that must stay."""
    if file.is_dir() or (os.path.lexists(file) and not overwrite):
        raise TLError(f"'{file}' is there already", f"{ANOTHER}, or --overwrite")
