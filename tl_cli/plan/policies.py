"""How much of a backbone to train: the founding rule, and what the evidence makes of it. Pure.

The founding rule: much data and different, train everything; much data and similar, about half;
little data and different, all but the basic features; little data and similar, the classifier
alone; in between, by similarity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tl_cli.plan.dataset_stats import DatasetStats, similarity_kind
from tl_cli.plan.evidence import ACCURACY, CLAIM_FROM, JUDGED_FROM, Evidence, said

HEAD_ONLY_BELOW = 0.15  # of the layers: training less is not worth its price
WORTH = 0.01  # of accuracy: where the head errs less there is too little to gain
ALIKE = 0.75  # similarity: from there on the founding rule calls data similar
FEW, SOME = 100, 250  # images, after N_eff, up to which less than everything pays on similar data


@dataclass(frozen=True)
class Choice:
    """A policy's answer: the share of weighted layers to train, and why."""

    share: float  # 0..1
    reasons: tuple[str, ...]


def founding_rule(effective: int, similarity: float) -> float:
    """Return the share of weighted layers to train, 0..1, by the founding rule.

    z runs from 0 (200 images) to 1 (10,000), h from 0 (similar) to 1 (different); the corners of
    the square are the rule's four sentences, and what lies between is interpolated.
    """
    z = _clip((math.log10(max(effective, 1)) - 2.3) / 1.7)
    h = _clip((0.75 - similarity) / 0.45)
    share = (1 - z) * 0.85 * h**2 + z * (0.5 + 0.5 * h)
    return 0.0 if share < HEAD_ONLY_BELOW else min(share, 1.0)


def by_rule(stats: DatasetStats) -> Choice:
    """Choose by size and similarity alone."""
    share = founding_rule(stats.effective_size, stats.similarity)
    return Choice(share, (_rule_sentence(stats, share),))


def _rule_sentence(stats: DatasetStats, share: float) -> str:
    amount = {"tiny": "little", "medium": "a medium amount of", "big": "much"}[stats.kind]
    likeness = {"high": "similar", "medium": "partly similar", "low": "different"}
    return f"With {amount} data that is {likeness[similarity_kind(stats.similarity)]}, {_do(share)}"


def _do(share: float) -> str:
    if share <= 0:
        return "the pretrained features are kept as they are and only the classifier is trained."
    if share >= 0.999:
        return "everything is trained, starting from the pretrained weights."
    return f"the first {1 - share:.0%} of the layers are frozen and the rest is trained."


def _clip(value: float, low: float = 0.0, high: float = 1.0) -> float:
    return max(low, min(high, value))


def by_evidence(stats: DatasetStats) -> Choice:
    """Choose by what one pass over the images showed; by the rule where nothing was seen.

    Tuning is left out where it cannot pay: where the head hardly errs, where too few validation
    images could tell, and on a few images like those of the pretraining. See docs/policy.md for
    what that was measured on.
    """
    seen = stats.evidence
    if not seen:
        return by_rule(stats)
    if stats.validation is not None and stats.validation < JUDGED_FROM:
        return Choice(0.0, (_heads_sentence(seen), _unjudged_sentence(stats.validation)))
    share = share_by_evidence(stats.effective_size, stats.similarity, seen.head_error)
    said = (_heads_sentence(seen), *_depth_sentences(stats, seen))
    return Choice(share, (*said, _chosen_sentence(share, stats, seen.head_error)))


def share_by_evidence(effective: int, similarity: float, head_error: float) -> float:
    """Return the share of the layers to train: 0.0, 0.5 or 1.0.

    As in the founding rule, except that much data that is similar gained by training everything
    too.
    """
    if head_error < WORTH or (similarity >= ALIKE and effective < FEW):
        return 0.0
    return 0.5 if similarity >= ALIKE and effective < SOME else 1.0


def _heads_sentence(seen: Evidence) -> str:
    if seen.figure != ACCURACY:
        return (
            f"A head solved on the last layer comes to {said(seen.figure, seen.last.accuracy)} on "
            f"held-out images (± {seen.last.stderr:.3f}), on several depths joined "
            f"{seen.joined.accuracy:.3f}."
        )
    return (
        f"A head solved on the last layer is right on {seen.last.accuracy:.1%} of held-out images "
        f"(± {seen.last.stderr:.1%}), on several depths joined on {seen.joined.accuracy:.1%}."
    )


def _depth_sentences(stats: DatasetStats, seen: Evidence) -> tuple[str, ...]:
    """Say where an earlier depth knows more than the last one; few images cannot tell."""
    best = seen.best_before
    if not best or stats.images_per_class < CLAIM_FROM or seen.depth_margin <= seen.last.stderr:
        return ()
    here, last = (
        f"{probe.accuracy:.1%}" if seen.figure == ACCURACY else f"{probe.accuracy:.3f}"
        for probe in (best, seen.last)
    )
    return (
        f"{best.tap} tells the classes apart better than the last layer ({here} against {last}): "
        "the network's end is specialised elsewhere.",
    )


def _unjudged_sentence(images: int) -> str:
    return (
        f"{images} validation images cannot tell a gain from chance (that takes {JUDGED_FROM}), so "
        f"only the head is trained: {_do(0)}"
    )


def _chosen_sentence(share: float, stats: DatasetStats, head_error: float) -> str:
    if not share and head_error < WORTH:
        seen = stats.evidence
        lacks = "errs on" if seen is None or seen.figure == ACCURACY else "lacks"
        return (
            f"It {lacks} {head_error:.1%}: there is less than {WORTH:.0%} to gain, which is not "
            f"worth the time: {_do(share)}"
        )
    alike = f"images like the pretraining data (similarity {ALIKE} and more)"
    if not share:
        return f"Measured on other sets, fewer than {FEW} {alike} gain nothing: {_do(share)}"
    why = (
        f"with {FEW} to {SOME} {alike} half of the layers gain as much as all"
        if share < 1
        else f"training everything gains most from {SOME} images on, and earlier on unlike ones"
    )
    kept = "What is not expected to be better is not kept."
    return f"Measured on other sets, {why}: {_do(share)} {kept}"


POLICIES: dict[str, Callable[[DatasetStats], Choice]] = {"rule": by_rule, "evidence": by_evidence}
DEFAULT_POLICY = "evidence"
