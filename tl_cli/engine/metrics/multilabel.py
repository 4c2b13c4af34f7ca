"""Probabilities and indicators of several labels an image -> MultilabelEvaluation.

scikit-learn's metrics, intervals by resampling images. Knows nothing of how the probabilities came
about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from tl_cli.engine.metrics import figures
from tl_cli.engine.metrics.figures import log_losses
from tl_cli.errors import TLError
from tl_cli.results import intervals
from tl_cli.results.intervals import Interval
from tl_cli.results.multilabel import LabelRow, MultilabelEvaluation
from tl_cli.results.paired import bootstrap_p_value

Array = NDArray[Any]

MOST_DRAWS, LEAST_DRAWS, WORK = 1000, 200, 3e8  # draws x images x labels
CHUNK = 50  # draws at a time
EXCHANGED = 100  # orders by chance


def evaluate(
    probabilities: Array,
    indicators: Array,
    classes: Sequence[str],
    *,
    split: str,
    seed: int = 0,
    thresholds: Sequence[float],
) -> MultilabelEvaluation:
    """Return all figures for probabilities float [N, C] and indicators of 0 and 1 [N, C].

    `thresholds`: by class, from which probability on it is said. Labels that no image has, or all
    have, are left out of the mean average precision; macro F1 is over those that some image has.
    Raises TLError where there are no images.
    """
    if len(indicators) == 0:
        raise TLError(f"there are no {split} images to evaluate on", "choose another --split")
    true, said = indicators > 0.5, probabilities >= np.asarray(thresholds)
    support = true.sum(0)
    measured = (support > 0) & (support < len(true))
    present = np.flatnonzero(support)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        true, said, average=None, zero_division=0
    )
    own = {
        int(i): float(metrics.average_precision_score(true[:, i], probabilities[:, i]))
        for i in np.flatnonzero(measured)
    }
    losses = log_losses(probabilities, indicators)
    drawn = _resampled(probabilities, true, said, measured, losses, seed)
    hits = int((true == said).all(1).sum())
    return MultilabelEvaluation(
        split=split,
        n=len(true),
        mean_average_precision=float(np.mean([*own.values()])) if own else 0.0,
        macro_f1=float(f1[present].mean()) if len(present) else 0.0,
        micro_f1=float(metrics.f1_score(true, said, average="micro", zero_division=0)),
        subset_accuracy=float(metrics.accuracy_score(true, said)),
        log_loss=float(losses.mean()),
        chance_average_precision=_guessing(support[measured], len(true)) if own else 0.0,
        learnt=bool(own) and _learnt(probabilities[:, measured], true[:, measured], seed),
        intervals={
            "mean_average_precision": _percentiles(_mean(drawn["average_precision"])),
            "macro_f1": _percentiles(drawn["macro_f1"]),
            "micro_f1": _percentiles(drawn["micro_f1"]),
            "subset_accuracy": intervals.wilson(hits, len(true)),
            "log_loss": _percentiles(drawn["log_loss"]),
        },
        per_class=tuple(
            LabelRow(
                name,
                own.get(i),
                _percentiles(drawn["average_precision"][:, i]) if i in own else None,
                float(precision[i]),
                float(recall[i]),
                float(f1[i]),
                float(thresholds[i]),
                int(support[i]),
            )
            for i, name in enumerate(classes)
        ),
        classes=tuple(classes),
    )


def encode(names: Sequence[Sequence[str]], classes: Sequence[str]) -> Array:
    """Return indicators float32 [N, C] for the names on each image.

    Raises TLError for a class not known.
    """
    indicators = np.zeros((len(names), len(classes)), "float32")
    for row, own in zip(indicators, names, strict=True):
        row[figures.encode(own, classes)] = 1
    return indicators


def average_precision_error(probabilities: Array, indicators: Array) -> float:
    """Return the standard error of the mean average precision, by resampling images."""
    return float(_drawn(probabilities, indicators).std(ddof=1))


def average_precision_interval(probabilities: Array, indicators: Array) -> Interval:
    """Return the 95 % interval of the mean average precision, by resampling images."""
    drawn = _drawn(probabilities, indicators)
    return _percentiles(drawn) or (float(drawn[0]), float(drawn[0]))


def average_precision_p_value(probabilities: Array, others: Array, indicators: Array) -> float:
    """Return how likely chance alone parts two mean average precisions on the same images so far.

    Two-sided, by the draws of a paired bootstrap on whose other side the difference lies.
    """
    return bootstrap_p_value(_drawn(probabilities, indicators) - _drawn(others, indicators))


def _drawn(probabilities: Array, indicators: Array, seed: int = 0) -> Array:
    """Return the mean average precision of each draw of images, the same draws every time."""
    true = indicators > 0.5
    order = np.argsort(-probabilities, axis=0, kind="stable")
    columns = np.flatnonzero(true.any(0) & ~true.all(0))
    if not len(columns):
        return np.zeros(LEAST_DRAWS)
    return np.concatenate(
        [
            _mean(
                np.stack(
                    [_average_precision(w[:, order[:, i]], true[order[:, i], i]) for i in columns],
                    axis=1,
                )
            )
            for w in _weights(len(true), LEAST_DRAWS, seed)
        ]
    )


def _guessing(support: Array, n: int) -> float:
    """Return the average precision to expect of an order by chance, mean over labels.

    Bestgen 2015, "Exact expected average precision of the random baseline for system evaluation".
    """
    others = (support - 1) / max(n - 1, 1)
    return float((others + (1 - others) * (1 / np.arange(1, n + 1)).sum() / n).mean())


def _learnt(p: Array, true: Array, seed: int) -> bool:
    """Return whether the order is better than nearly all (95 %) in which images are exchanged."""
    draw, n = np.random.default_rng(seed), len(true)
    order = np.argsort(-p, axis=0, kind="stable")

    def mean(labels: Array) -> float:
        ranked = np.take_along_axis(labels, order, 0)
        precision = np.cumsum(ranked, 0) / np.arange(1, n + 1)[:, None]
        return float(((precision * ranked).sum(0) / ranked.sum(0)).mean())

    exchanged = [mean(true[draw.permutation(n)]) for _ in range(EXCHANGED)]
    return mean(true) > float(np.percentile(exchanged, 95))


def _resampled(
    p: Array, true: Array, said: Array, measured: Array, losses: Array, seed: int
) -> dict[str, Array]:
    """Return the figures of each draw of images: [draws], the average precision [draws, C]."""
    n, count = true.shape
    draws = int(np.clip(WORK / (n * count), LEAST_DRAWS, MOST_DRAWS))
    order = np.argsort(-p, axis=0, kind="stable")
    ranked = np.take_along_axis(true, order, 0)
    right = (true & said).astype("float64")
    either = true.astype("float64") + said
    found: dict[str, list[Array]] = {}
    for weight in _weights(n, draws, seed):
        f1 = 2 * (weight @ right) / np.maximum(weight @ either, 1)
        there = weight @ true > 0
        per = {
            "macro_f1": np.where(there, f1, 0).sum(1) / np.maximum(there.sum(1), 1),
            "micro_f1": 2 * (weight @ right).sum(1) / np.maximum((weight @ either).sum(1), 1),
            "log_loss": weight @ losses / n,
            "average_precision": np.stack(
                [
                    _average_precision(weight[:, order[:, i]], ranked[:, i])
                    if measured[i]
                    else np.full(len(weight), np.nan)
                    for i in range(count)
                ],
                axis=1,
            ),
        }
        for name, values in per.items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def _weights(n: int, draws: int, seed: int) -> Iterator[Array]:
    """Yield how often each image is drawn, float64 [some draws, n]."""
    draw = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        rows = min(CHUNK, draws - start)
        yield draw.multinomial(n, np.full(n, 1 / n), rows).astype("float64")


def _average_precision(weight: Array, is_of: Array) -> Array:
    """Return the average precision [draws] of ranked images that count [draws, n] times each."""
    hits = weight * is_of
    total = hits.sum(1)
    precision = np.cumsum(hits, 1) / np.maximum(np.cumsum(weight, 1), 1)
    return np.where(total > 0, (hits * precision).sum(1) / np.maximum(total, 1), np.nan)


def _mean(average_precision: Array) -> Array:
    """Return the mean over the labels that a draw has images of, [draws]."""
    there = np.isfinite(average_precision)
    return np.where(there, average_precision, 0).sum(1) / np.maximum(there.sum(1), 1)


def _percentiles(values: Array) -> Interval | None:
    """Return what holds 95 % of the draws; None where they are all the same."""
    there = values[np.isfinite(values)]
    if not len(there):
        return None
    return figures.percentiles(there)
