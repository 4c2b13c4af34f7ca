"""By what a file of answers was begun, kept beside it: nothing else goes on with it.

The rows of two checkpoints in one file would be told apart by nobody. Knows nothing of rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_cli.errors import TLError
from tl_cli.store import reading, run_dir
from tl_cli.store.file_names import shortened
from tl_cli.store.run_dir import RunDir

ENDING = ".tl.json"
ANOTHER = "choose another --output"


@dataclass(frozen=True)
class PredictionOrigin:
    """A checkpoint, by its content, and the options that decide what is written."""

    run: str  # where the checkpoint lay, for people
    checkpoint: str  # digest of its files
    options: Mapping[str, Any]  # by flag; of JSON types

    def write(self, path: Path) -> None:
        """Keep it beside the file of answers. Raises OSError."""
        kept = {"run": self.run, "checkpoint": self.checkpoint, "options": dict(self.options)}
        RunDir(path.parent).write_json(place(path).name, kept)

    def check(self, path: Path) -> None:
        """Raise TLError unless the file of answers was begun by the same."""
        try:
            kept = reading.json_of(place(path))
            run, checkpoint, options = kept["run"], kept["checkpoint"], dict(kept["options"])
        except (OSError, ValueError, KeyError, TypeError):
            raise TLError(
                f"which checkpoint began '{path}' is not known: there is no '{place(path)}'",
                ANOTHER,
            ) from None
        if checkpoint != self.checkpoint:
            raise TLError(
                f"'{path}' was begun by another checkpoint, that of {str(run)[:200]} as it was",
                f"go on with that one, or {ANOTHER}",
            )
        for name, value in self.options.items():
            if options.get(name) != value:
                before = str(options.get(name))[:200]
                raise TLError(
                    f"'{path}' was begun with {name} {before}, not {value}",
                    f"give that, or {ANOTHER}",
                )


def of(run: RunDir, options: Mapping[str, Any]) -> PredictionOrigin:
    """Return the origin of what a run's checkpoint will say. Raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    for name in (run_dir.CHECKPOINT, run_dir.WEIGHTS):
        with reading.opened(run / name) as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return PredictionOrigin(str(run.path.resolve()), digest.hexdigest(), options)


def place(path: Path) -> Path:
    """Return where the origin of a file of answers lies."""
    return path.with_name(shortened(path.name, ENDING))
