"""How much of a backbone to train: the founding rule, and what the evidence makes of it. Pure.

The founding rule: much data and different, train everything; much data and similar, about half;
little data and different, all but the basic features; little data and similar, the classifier
alone; in between, by similarity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tl_cli.plan import gain_model
from tl_cli.plan.dataset_stats import DatasetStats, similarity_kind
from tl_cli.plan.evidence import CLAIM_FROM, JUDGED_FROM, Evidence
from tl_cli.plan.gain_model import Gain

HEAD_ONLY_BELOW = 0.15  # of the layers: training less is not worth its price


@dataclass(frozen=True)
class Choice:
    """A policy's answer: the share of weighted layers to train, and why."""

    share: float  # 0..1
    reasons: tuple[str, ...]
    gains: tuple[Gain, ...] = ()


def founding_rule(effective: int, similarity: float) -> float:
    """Return the share of weighted layers to train, 0..1, by the founding rule.

    z runs from 0 (200 images) to 1 (10,000), h from 0 (similar) to 1 (different); the corners of
    the square are the rule's four sentences, and what lies between is interpolated.
    """
    z = _clip((math.log10(max(effective, 1)) - 2.3) / 1.7)
    h = _clip((0.75 - similarity) / 0.45)
    share = (1 - z) * 0.85 * h**2 + z * (0.5 + 0.5 * h)
    return 0.0 if share < HEAD_ONLY_BELOW else min(share, 1.0)


def by_rule(given: DatasetStats) -> Choice:
    """Choose by size and similarity alone."""
    share = founding_rule(given.effective_size, given.similarity)
    return Choice(share, (_rule_sentence(given, share),))


def _rule_sentence(given: DatasetStats, share: float) -> str:
    amount = {"tiny": "little", "medium": "a medium amount of", "big": "much"}[given.kind]
    likeness = {"high": "similar", "medium": "partly similar", "low": "different"}
    return f"With {amount} data that is {likeness[similarity_kind(given.similarity)]}, {_do(share)}"


def _do(share: float) -> str:
    if share <= 0:
        return "the pretrained features are kept as they are and only the classifier is trained."
    if share >= 0.999:
        return "everything is trained, starting from the pretrained weights."
    return f"the first {1 - share:.0%} of the layers are frozen and the rest is trained."


def _clip(value: float, low: float = 0.0, high: float = 1.0) -> float:
    return max(low, min(high, value))


def by_evidence(given: DatasetStats) -> Choice:
    """Choose by what one pass over the images predicts; by the rule where nothing was seen."""
    seen = given.evidence
    if not seen:
        return by_rule(given)
    told = gain_model.predict(given.effective_size, given.similarity, seen)
    if given.validation is not None and given.validation < JUDGED_FROM:
        return Choice(0.0, (_heads_sentence(seen), _unjudged_sentence(given.validation)), told)
    share = gain_model.choose(told, seen.head_error)
    said = (_heads_sentence(seen), *_depth_sentences(given, seen), _gains_sentence(told))
    return Choice(share, (*said, _chosen_sentence(share)), told)


def _heads_sentence(seen: Evidence) -> str:
    return (
        f"A head solved on the last layer is right on {seen.last.accuracy:.1%} of held-out images "
        f"(± {seen.last.stderr:.1%}), on several depths joined on {seen.joined.accuracy:.1%}."
    )


def _depth_sentences(given: DatasetStats, seen: Evidence) -> tuple[str, ...]:
    """Say where an earlier depth knows more than the last one; few images cannot tell."""
    best = seen.best_before
    if not best or given.images_per_class < CLAIM_FROM or seen.depth_margin <= seen.last.stderr:
        return ()
    return (
        f"{best.tap} tells the classes apart better than the last layer ({best.accuracy:.1%} "
        f"against {seen.last.accuracy:.1%}): the network's end is specialised elsewhere.",
    )


def _unjudged_sentence(images: int) -> str:
    return (
        f"{images} validation images cannot tell a gain from chance (that takes {JUDGED_FROM}), so "
        f"only the head is trained: {_do(0)}"
    )


def _gains_sentence(told: tuple[Gain, ...]) -> str:
    names = {0.5: "half of the layers", 1.0: "everything"}
    each = (
        f"{names[gain.share]} {100 * gain.gain:+.1f} ± {100 * gain.stderr:.1f} points"
        for gain in told
    )
    return f"Predicted gain of tuning over that head: {', '.join(each)}."


def _chosen_sentence(share: float) -> str:
    if not share:
        return f"That is not worth the time: {_do(share)}"
    return (
        f"A gain of a point cannot be ruled out, so it is tried: {_do(share)} What does not surely "
        "beat the head on validation is not kept."
    )


POLICIES: dict[str, Callable[[DatasetStats], Choice]] = {"rule": by_rule, "evidence": by_evidence}
DEFAULT_POLICY = "evidence"
