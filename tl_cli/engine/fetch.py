"""A backbone's weights -> one file or folder that can be carried to a machine without a network."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tl_cli import engine
from tl_cli.cards import places
from tl_cli.cards.card import Card
from tl_cli.engine.networks import hub_source, loading
from tl_cli.errors import TLError
from tl_cli.humanize import typed


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
    made = beside / folder.name
    hub_source.save_preset(card, made)
    if folder.exists():
        shutil.rmtree(folder)
    made.rename(folder)
    return folder, typed("tl", "train", "--backbone", f"hub:{folder}")
