"""(size, similarity) -> FreezePlan with its reasons. Pure functions, the numbers in plain sight.

The founding rule: much data and different, train everything; much data and similar, about half;
little data and different, all but the basic features; little data and similar, the classifier
alone; in between, by similarity. Knows nothing of TensorFlow, of files, and of networks only their
blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tl_cli.blocks import Block, frozen_shares, snap
from tl_cli.errors import TLError

# Similarity of the target data to the pretraining data, 0..1, where it is stated and not measured.
SIMILARITY = {"high": 0.80, "medium": 0.50, "low": 0.20}
SCRATCH = "scratch"  # the strategy that no rule recommends: see scratch.py
NAMED_RATIO = {"head": 1.0, "half": 0.5, "full": 0.0}
ASSUMED = "medium"

TINY, BIG = 400, 10_000  # images, after N_eff
PER_CLASS_CAP = 100  # images a class beyond which more of few classes counts no further
HEAD_ONLY_BELOW = 0.15  # of the layers: training less is not worth its price


@dataclass(frozen=True)
class FreezePlan:
    """How much of the backbone to freeze, how to train the rest, and why."""

    strategy: str  # head, partial, full, or scratch
    freeze_ratio: float  # share of weighted leaf layers frozen, snapped to a cut point
    requested_ratio: float  # before it was snapped
    similarity: float
    similarity_source: str  # given, assumed, measured
    size: int  # training images
    classes: int
    images_per_class: float  # median
    effective_size: int
    backbone: str
    frozen_blocks: int
    blocks: int
    last_frozen_block: str
    frozen_layers: int
    trained_layers: int
    frozen_parameters_share: float
    frozen_compute_share: float
    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    augment: str
    reasons: tuple[str, ...]

    @property
    def trains_backbone(self) -> bool:
        return self.strategy != "head"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, keys as documented in docs/json.md."""
        return asdict(self) | {"reasons": list(self.reasons)}


@dataclass(frozen=True)
class Situation:
    """What the rule goes by: how many training images, of how many classes, how similar."""

    size: int
    classes: int
    images_per_class: float  # median
    similarity: float
    source: str

    @property
    def effective_size(self) -> int:
        """N_eff = min(N, 100 x median images a class): many classes of few are still few."""
        return int(min(self.size, PER_CLASS_CAP * self.images_per_class))

    @property
    def kind(self) -> str:
        return size_kind(self.effective_size)


def size_kind(effective: int) -> str:
    """Name the size: tiny < 400 <= medium < 10,000 <= big."""
    return "tiny" if effective < TINY else "medium" if effective < BIG else "big"


def similarity_kind(similarity: float) -> str:
    """Name the similarity: low < 0.40 <= medium < 0.60 <= high."""
    return "low" if similarity < 0.40 else "medium" if similarity < 0.60 else "high"


def founding_rule(effective: int, similarity: float) -> float:
    """Return the share of weighted layers to train, 0..1, by the founding rule.

    z runs from 0 (200 images) to 1 (10,000), h from 0 (similar) to 1 (different); the corners of
    the square are the rule's four sentences, and what lies between is interpolated.
    """
    z = _clip((math.log10(max(effective, 1)) - 2.3) / 1.7)
    h = _clip((0.75 - similarity) / 0.45)
    share = (1 - z) * 0.85 * h**2 + z * (0.5 + 0.5 * h)
    return 0.0 if share < HEAD_ONLY_BELOW else min(share, 1.0)


POLICIES: dict[str, Callable[[int, float], float]] = {"rule": founding_rule}


def recommend(
    size: int,
    classes: int,
    blocks: Sequence[Block],
    *,
    backbone: str,
    images_per_class: float | None = None,
    similarity: str | float | None = None,
    source: str | None = None,
    freeze: str = "auto",
    policy: str = "rule",
) -> FreezePlan:
    """Return the plan for `size` training images of `classes` classes on a backbone of `blocks`.

    `similarity`: a name, a number 0..1, or None (assumed, and said so). `freeze` other than "auto"
    sets the ratio; the rest of the plan follows from it. Raises TLError where the sizes cannot be.
    """
    if classes < 2:
        raise TLError(f"a classifier needs at least 2 classes, got {classes}")
    if size < classes:
        raise TLError(
            f"{size} images cannot show {classes} classes", "give at least one image a class"
        )
    per_class = size / classes if images_per_class is None else images_per_class
    situation = Situation(size, classes, per_class, *_similarity(similarity, source))
    if freeze == "auto":
        ratio = 1 - POLICIES[policy](situation.effective_size, situation.similarity)
        reasons = _rule_reasons(situation, ratio)
    else:
        ratio = NAMED_RATIO[freeze] if freeze in NAMED_RATIO else float(freeze)
        reasons = (f"You asked for --freeze {freeze}; no rule was consulted.",)
    return _plan(situation, ratio, blocks, backbone, reasons)


def _plan(
    situation: Situation,
    ratio: float,
    blocks: Sequence[Block],
    backbone: str,
    reasons: tuple[str, ...],
) -> FreezePlan:
    cut = snap(blocks, ratio)
    shares = frozen_shares(blocks, cut)
    frozen = sum(len(block.layers) for block in blocks[:cut])
    strategy = "head" if cut == len(blocks) else "full" if cut == 0 else "partial"
    plan = FreezePlan(
        strategy=strategy,
        freeze_ratio=round(shares.layers, 4),
        requested_ratio=round(ratio, 4),
        similarity=situation.similarity,
        similarity_source=situation.source,
        size=situation.size,
        classes=situation.classes,
        images_per_class=situation.images_per_class,
        effective_size=situation.effective_size,
        backbone=backbone,
        frozen_blocks=cut,
        blocks=len(blocks),
        last_frozen_block=blocks[cut - 1].name if cut else "",
        frozen_layers=frozen,
        trained_layers=sum(len(block.layers) for block in blocks) - frozen,
        frozen_parameters_share=round(shares.parameters, 4),
        frozen_compute_share=round(shares.compute, 4),
        reasons=reasons,
        **hyperparameters(situation.size, situation.effective_size, strategy),
    )
    return replace(plan, reasons=plan.reasons + training_reasons(plan))


def hyperparameters(size: int, effective: int, strategy: str) -> dict[str, Any]:
    """Return what the plan sets beside the ratio: starting numbers, not yet fitted.

    The suffix's learning rate was measured with EfficientNet-Lite0: at 400 images 1e-3 beat 3e-4
    beat 1e-4, at 40 images all were within noise. The head is solved, so it has no rate of its own
    until it is tuned together with the suffix.
    """
    rate = 1e-4 if effective < TINY else 5e-4
    return {
        "learning_rate": rate,
        "head_learning_rate": rate,
        "weight_decay": 1e-2,
        "batch_size": 32,
        "epochs": 0 if strategy == "head" else round(_clip(30 * (size / 100) ** -0.35, 4, 30)),
        "augment": "none" if strategy == "head" else "light",
    }


def override(plan: FreezePlan, **given: Any) -> FreezePlan:
    """Return the plan with the user's own numbers in place of its own; None leaves one as it is."""
    changed = {k: v for k, v in given.items() if v is not None and v != getattr(plan, k)}
    if plan.strategy == "head":
        changed = {k: v for k, v in changed.items() if k == "batch_size"}
    if not changed:
        return plan
    said = f"You set {', '.join(f'{k} {v}' for k, v in changed.items())}."
    if "learning_rate" in changed:
        changed["head_learning_rate"] = changed["learning_rate"]
    before = plan.reasons[: -len(training_reasons(plan))]
    plan = replace(plan, **changed)
    return replace(plan, reasons=(*before, *training_reasons(plan), said))


def _similarity(similarity: str | float | None, source: str | None) -> tuple[float, str]:
    if similarity is None:
        return SIMILARITY[ASSUMED], "assumed"
    if isinstance(similarity, str):
        return SIMILARITY[similarity], source or "given"
    return similarity, source or "given"


def _rule_reasons(situation: Situation, ratio: float) -> tuple[str, ...]:
    effective, kind = situation.effective_size, situation.kind
    likeness = similarity_kind(situation.similarity)
    capped = (
        f", counted as {effective:,} because {situation.classes} classes of "
        f"{situation.images_per_class:g} images leave little to learn each from"
        if effective < situation.size
        else ""
    )
    limits = {"tiny": f"under {TINY}", "medium": f"{TINY} to {BIG:,}", "big": f"{BIG:,} or more"}
    how = {
        "given": "you said so",
        "assumed": "assumed, not measured: say --similarity low|medium|high if you know better",
        "measured": "measured",
    }[situation.source]
    return (
        f"{situation.size:,} training images in {situation.classes} classes{capped}: "
        f"{kind} ({limits[kind]}).",
        f"Similarity to the pretraining data {situation.similarity:.2f}, {likeness} ({how}).",
        _rule_sentence(kind, likeness, ratio),
    )


def _rule_sentence(size: str, similarity: str, ratio: float) -> str:
    amount = "little" if size == "tiny" else "much" if size == "big" else "a medium amount of"
    likeness = {"high": "similar", "medium": "partly similar", "low": "different"}[similarity]
    if ratio >= 1:
        action = "the pretrained features are kept as they are and only the classifier is trained"
    elif ratio <= 0.001:
        action = "everything is trained, starting from the pretrained weights"
    else:
        action = f"the first {ratio:.0%} of the layers are frozen and the rest is trained"
    return f"With {amount} data that is {likeness}, {action}."


def training_reasons(plan: FreezePlan) -> tuple[str, ...]:
    """Return the sentences about the training itself."""
    if plan.strategy == SCRATCH:
        return (
            f"{plan.epochs} epochs at a learning rate of up to {plan.learning_rate:g}: it rises "
            "for a tenth of the steps and falls to zero along a cosine (AdamW).",
        )
    if not plan.trains_backbone:
        return ("The head is solved in closed form on features that are computed once: no epochs.",)
    return (
        "The head is solved first and then tuned together with the trained layers for "
        f"{plan.epochs} epochs at a learning rate of {plan.learning_rate:g}, so that a random head "
        "never damages pretrained weights (LP-FT).",
    )


def _clip(value: float, low: float = 0.0, high: float = 1.0) -> float:
    return max(low, min(high, value))
