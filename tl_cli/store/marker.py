"""The folders that tl wrote, told from everybody else's. Knows nothing of what lies in them."""

from __future__ import annotations

import os
from pathlib import Path

from tl_cli.store.run_dir import CHECKPOINT, CONFIG, PLAN, STATUS

MARKER = ".tl"
TEXT = "Written by tl: not part of a data set. Remove this file to train on what lies here.\n"


def make_marked(folder: Path) -> None:
    """Make the folder and mark it as ours, unless something of the user's is in it already.

    Raises OSError where the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / MARKER).write_text(TEXT)


def is_ours(folder: Path) -> bool:
    """Whether tl wrote the folder: it is marked, or is a run's directory."""

    def has(name: str) -> bool:  # unlike Path.is_file, no error where one may not look
        return os.path.isfile(folder / name)  # noqa: PTH113

    return has(MARKER) or (has(STATUS) and any(map(has, (CONFIG, PLAN, CHECKPOINT))))
