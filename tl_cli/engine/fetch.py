"""A backbone's weights -> one file or folder that can be carried to a machine without a network."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from tl_cli import engine
from tl_cli.cards import places
from tl_cli.cards.card import Card
from tl_cli.engine.networks import hub_source, loading
from tl_cli.errors import TLError
from tl_cli.humanize import naming, typed

PRESET_FILE = re.compile(r".+(\.json|\.weights\.h5)$")  # what KerasHub saves


def fetch(card: Card, to: Path) -> tuple[Path, str]:
    """Write the pretrained weights into the folder; return where, and the command that uses them.

    What is written takes its place whole. Raises TLError where the weights cannot be had or the
    folder cannot be written to.
    """
    engine.prepare("float32", 0)
    if card.source == "file":
        raise TLError(f"{card.name} is a file already", "copy it")
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=to) as beside:
            if card.source == "hub":
                return _preset(card, Path(beside), to)
            file = to / f"{card.name}.weights.h5"
            loading.save_weights(card, Path(beside) / file.name)
            (Path(beside) / file.name).replace(file)
    except OSError as error:
        raise TLError(
            f"cannot write to '{to}': {error.strerror or error}", "choose another --to"
        ) from error
    return file, typed("tl", "train", "--backbone", card.name, "--weights", file)


def _preset(card: Card, beside: Path, to: Path) -> tuple[Path, str]:
    """Save a preset of KerasHub as a folder of its own."""
    folder = to / places.folder_name(card)
    _check_replaceable(folder)
    made = beside / folder.name
    hub_source.save_preset(card, made)
    if folder.exists():
        shutil.rmtree(folder)
    made.rename(folder)
    return folder, typed("tl", "train", "--backbone", f"hub:{folder}")


def _check_replaceable(folder: Path) -> None:
    """Raise TLError where something else than a preset lies in the place of one."""
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    strange = [path.name for path in there if path.is_dir() or not PRESET_FILE.match(path.name)]
    if strange or folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        holds = f": it holds {naming(strange)}" if strange else ""
        raise TLError(f"'{folder}' is there and is not a preset{holds}", "choose another --to")
