"""What the short tunings of `--effort thorough` came to, kept until the run is finished.

A run that is cut off while plans are tried goes on after those that were tried. Each is kept under
all that decides what it comes to: its settings, the weights that it began from, the versions. Knows
nothing of which plan wins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tl_cli.engine.finetune.checkpoints import digest, versions
from tl_cli.engine.finetune.settings import FinetuneSettings, to_json
from tl_cli.results.training import CandidateResult, FinetuneResult
from tl_cli.store import resume
from tl_cli.store.run_dir import RunDir


@dataclass(frozen=True)
class Races:
    """The short tunings of one run that are finished; without a run, this process alone has them.

    Two rungs may ask for the same tuning of the last plan that is left: it is run once.
    """

    run: RunDir | None = None
    _results: dict[str, FinetuneResult] = field(default_factory=dict)

    def result(
        self, settings: FinetuneSettings, start: Sequence[np.ndarray]
    ) -> FinetuneResult | None:
        """Return what these settings came to from these weights; None where it is not known."""
        key = _key(settings, start)
        if key not in self._results:
            try:
                self._results[key] = _from_json(self._kept()[key])
            except (KeyError, TypeError, ValueError, AttributeError):
                return None
        return self._results[key]

    def keep(
        self, settings: FinetuneSettings, start: Sequence[np.ndarray], result: FinetuneResult
    ) -> None:
        """Write down what these settings came to from these weights."""
        key = _key(settings, start)
        self._results[key] = result
        if self.run is not None:
            self.run.write_json(resume.RACES, {**self._kept(), key: result.to_json()})

    def _kept(self) -> dict[str, Any]:
        kept = resume.kept(self.run, resume.RACES) if self.run else None
        return kept if isinstance(kept, dict) else {}


def _key(settings: FinetuneSettings, start: Sequence[np.ndarray]) -> str:
    decides = [versions(), to_json(settings), [digest(array) for array in start]]
    return digest(np.frombuffer(json.dumps(decides, sort_keys=True).encode(), np.uint8))


def _from_json(kept: Mapping[str, Any]) -> FinetuneResult:
    """Return what `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    tried = tuple(CandidateResult.from_json(candidate) for candidate in kept["candidates"])
    result = FinetuneResult(**{**kept, "candidates": tried})
    numbers = [result.gain, *(candidate.loss for candidate in tried)]
    if not tried or not all(isinstance(number, (int, float)) for number in numbers):
        raise TypeError("it is no result")
    return result
