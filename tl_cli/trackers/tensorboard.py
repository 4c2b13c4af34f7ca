"""TensorBoard: event files in the run's own folder, in `tensorboard`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_cli.humanize import typed
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

HINT = "leave out --track, or pip install --upgrade 'tl-cli[tensorboard]'"


def begin(run: RunDir) -> EventFile:
    """Open an event file in the run."""
    return EventFile(run)


class EventFile:
    """Scalars by epoch, parameters as hyperparameters, and a page of text."""

    def __init__(self, run: RunDir) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(run / run_dir.TENSORBOARD))
        self.look = typed("tensorboard", "--logdir", run.final_path / run_dir.TENSORBOARD)

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Write them as hyperparameters; those that are lists of nothing as text."""
        from tensorboard.plugins.hparams import summary_v2 as hparams

        plain = {k: v if isinstance(v, bool | int | float) else str(v) for k, v in values.items()}
        self._add(hparams.hparams_pb(plain))

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Write a point of each curve."""
        for name, value in values.items():
            self._scalar(f"epoch/{name}", value, number)
        self._writer.flush()

    def figures(self, values: Mapping[str, float], report: Path) -> None:
        """Write each, and a table of them with the way to the report; close the file.

        Now, and not in the end: the folder of the run may be moved after this.
        """
        from tensorboard.plugins.text.summary_v2 import text_pb

        rows = "".join(f"| {name} | {value:.4g} |\n" for name, value in values.items())
        table = f"Report: {report}\n\n| figure | value |\n|---|---|\n{rows}"
        for name, value in values.items():
            self._scalar(name, value, 0)
        self._add(text_pb("figures", table))
        self._writer.close()

    def artifacts(self, paths: Sequence[Path]) -> None:
        """TensorBoard keeps no files: they lie beside, in the run."""

    def end(self, *, well: bool) -> None:
        """Close the file, if it is not."""
        self._writer.close()

    def _scalar(self, name: str, value: float, step: int) -> None:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._add(scalar_pb(name, value), step)

    def _add(self, summary: Any, step: int = 0) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
