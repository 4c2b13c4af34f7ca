"""What a way of training comes to, transfer or from scratch: what is evaluated and saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_cli.engine.classifier import Classifier
from tl_cli.engine.job import Job
from tl_cli.results import HeadFacts, ScratchFacts, TuneFacts


@dataclass(frozen=True)
class Outcome:
    """A trained classifier and how it came about. `probabilities(split)`: float32 [n, C]."""

    job: Job  # as it was carried out
    built: Classifier
    probabilities: Callable[[str], np.ndarray]
    history: Sequence[dict[str, Any]] = ()  # by epoch; empty where nothing was tuned
    gradients: Sequence[dict[str, Any]] = ()
    head: HeadFacts | None = None
    tune: TuneFacts | None = None
    scratch: ScratchFacts | None = None
