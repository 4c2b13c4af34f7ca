"""What a way of training comes to, transfer or from scratch: what is evaluated and saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_cli.engine.context import RunContext
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.results.training import FinetuneResult, FromScratchResult, HeadResult


@dataclass(frozen=True)
class TrainedModel:
    """A trained classifier and how it came about. `probabilities(split)`: float32 [n, C]."""

    context: RunContext  # as it was carried out
    built: Classifier
    probabilities: Callable[[str], np.ndarray]
    history: Sequence[dict[str, Any]] = ()  # by epoch; empty where nothing was tuned
    gradients: Sequence[dict[str, Any]] = ()
    head: HeadResult | None = None
    tune: FinetuneResult | None = None
    scratch: FromScratchResult | None = None
