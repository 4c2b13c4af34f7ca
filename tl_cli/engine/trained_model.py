"""A classifier as it is to be saved, how it came about, and what it says of held-out images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.unknown import UnknownScore
from tl_cli.results.training import FinetuneResult, FromScratchResult

Result = TypeVar("Result", bound=FinetuneResult | FromScratchResult, covariant=True)


@dataclass(frozen=True)
class TrainedModel:
    """A classifier whose weights are those to be saved.

    `held_out`: probabilities float32 [n, C] of the validation images by the same recipe without
    them in the fit. `fitted`: what the classifier itself says of them; other numbers only where the
    head was solved anew on training and validation images together (`refit`). `unknown`: tells
    images unlike those that the head was fitted to; None where no features were kept to fit it to.
    """

    classifier: Classifier
    held_out: np.ndarray
    fitted: np.ndarray
    refit: bool = False
    unknown: UnknownScore | None = None


@dataclass(frozen=True)
class Finetuned(Generic[Result]):
    """What a fine-tuning came to, from a solved head or from scratch."""

    trained: TrainedModel
    result: Result
    history: Sequence[Mapping[str, Any]]  # a row an epoch
    gradients: Sequence[Mapping[str, Any]]  # none unless they were asked for
