"""Values said and true -> RegressionEvaluation: scikit-learn's metrics, intervals by resampling.

Knows nothing of how the values came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn import metrics

from tl_cli.engine.metrics import figures
from tl_cli.errors import TLError
from tl_cli.results.intervals import Interval
from tl_cli.results.paired import bootstrap_p_value
from tl_cli.results.regression import ConformalInterval, RegressionEvaluation

Array = NDArray[Any]

MOST_DRAWS, LEAST_DRAWS, WORK = 1000, 200, 2e7  # draws x images
CHUNK = 50  # draws at a time


def evaluate(
    said: Array,
    true: Array,
    classes: Sequence[str],
    *,
    split: str,
    seed: int = 0,
    interval: ConformalInterval | None = None,
) -> RegressionEvaluation:
    """Return all figures for values said [N, 1] and true ones [N, 1], in the unit of the labels.

    `classes`: what the quantity is called. `interval`: what was promised of the values said, read
    off the validation images. Raises TLError where there are no images.
    """
    if len(true) == 0:
        raise TLError(f"there are no {split} images to evaluate on", "choose another --split")
    said, true = said[:, 0].astype(np.float64), true[:, 0].astype(np.float64)
    errors, guess = np.abs(said - true), np.abs(true - np.median(true))
    varies = len(true) > 1 and float(np.ptp(true)) > 0
    orders = varies and float(np.ptp(said)) > 0
    drawn = _resampled(said, true, guess, seed)
    within = float(np.mean(errors <= interval.radius)) if interval else None
    return RegressionEvaluation(
        split=split,
        n=len(true),
        quantity=classes[0],
        mae=float(metrics.mean_absolute_error(true, said)),
        rmse=float(metrics.root_mean_squared_error(true, said)),
        r2=float(metrics.r2_score(true, said)) if varies else None,
        spearman=float(np.corrcoef(rankdata(said), rankdata(true))[0, 1]) if orders else None,
        guessing_mae=float(guess.mean()),
        guessing_rmse=float(true.std()),
        learnt=bool(np.percentile(drawn["gain"], 2.5) > 0),
        intervals={
            "mae": _percentiles(drawn["mae"]),
            "rmse": _percentiles(drawn["rmse"]),
            "r2": _percentiles(drawn["r2"]) if varies else None,
            "spearman": _percentiles(drawn["spearman"]) if orders else None,
        },
        interval=interval,
        covered=None if split == "val" else within,
        range=(float(true.min()), float(true.max())),
    )


def r2_interval(held_out: Array, values: Array) -> Interval:
    """Return the 95 % interval of R2 of answers [N, 1] to values [N, 1], by resampling images."""
    drawn = _drawn_r2(held_out, values)
    return _percentiles(drawn) or (0.0, 0.0)


def r2_p_value(held_out: Array, others: Array, values: Array) -> float:
    """Return how likely chance alone parts R2 of two answers on the same images so far.

    Two-sided, by the draws of a paired bootstrap on whose other side the difference lies.
    """
    return bootstrap_p_value(_drawn_r2(held_out, values) - _drawn_r2(others, values))


def _drawn_r2(held_out: Array, values: Array) -> Array:
    """Return R2 of each draw of images, 0 or more as it is told; the same draws every time."""
    said, true = held_out[:, 0].astype(np.float64), values[:, 0]
    return np.maximum(_resampled(said, true, np.abs(true - np.median(true)), 0)["r2"], 0)


def _resampled(said: Array, true: Array, guess: Array, seed: int) -> dict[str, Array]:
    """Return the figures of each draw of images, float64 [draws]; `gain` over guessing's error.

    The ranks are those among all images, so that an image that is drawn twice changes none.
    """
    n = len(true)
    draws = int(np.clip(WORK / n, LEAST_DRAWS, MOST_DRAWS))
    errors, ranks = said - true, (rankdata(said), rankdata(true))
    draw = np.random.default_rng(seed)
    found: dict[str, list[Array]] = {}
    for start in range(0, draws, CHUNK):
        rows = min(CHUNK, draws - start)
        weight = draw.multinomial(n, np.full(n, 1 / n), rows) / n
        squares = weight @ errors**2
        variance = weight @ true**2 - (weight @ true) ** 2
        per = {
            "mae": weight @ np.abs(errors),
            "rmse": np.sqrt(squares),
            "r2": np.where(variance > 0, 1 - squares / np.where(variance > 0, variance, 1), np.nan),
            "spearman": _correlation(weight, *ranks),
            "gain": weight @ (guess - np.abs(errors)),
        }
        for name, values in per.items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def _correlation(weight: Array, a: Array, b: Array) -> Array:
    """Return the correlation of a and b [n], each weighed as `weight` [draws, n] has it."""
    mean_a, mean_b = weight @ a, weight @ b
    shared = weight @ (a * b) - mean_a * mean_b
    spread = (weight @ a**2 - mean_a**2) * (weight @ b**2 - mean_b**2)
    return np.where(spread > 0, shared / np.sqrt(np.where(spread > 0, spread, 1)), np.nan)


def _percentiles(values: Array) -> Interval | None:
    there = values[np.isfinite(values)]
    return figures.percentiles(there) if len(there) else None
