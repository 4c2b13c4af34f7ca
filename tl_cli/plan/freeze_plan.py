"""(size, similarity, evidence) -> FreezePlan with its reasons. Pure functions.

Knows nothing of TensorFlow, of files, and of networks only their blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tl_cli.errors import TLError
from tl_cli.humanize import count
from tl_cli.plan.blocks import Block, frozen_shares, nearest_cut
from tl_cli.plan.dataset_stats import (
    SIMILARITY,
    DatasetStats,
    sentences,
    similarity_kind,
    situation,
)
from tl_cli.plan.evidence import Evidence
from tl_cli.plan.hyperparameters import hyperparameters
from tl_cli.plan.policies import DEFAULT_POLICY, POLICIES

SCRATCH = "scratch"  # the strategy that no rule recommends: see scratch.py
NAMED_RATIO = {"head": 1.0, "half": 0.5, "full": 0.0}


@dataclass(frozen=True)
class FreezePlan:
    """How much of the backbone to freeze, how to train the rest, and why."""

    strategy: str  # head, partial, full, or scratch
    freeze_ratio: float  # share of weighted leaf layers frozen, snapped to a cut point
    requested_ratio: float  # before it was snapped
    policy: str  # which policy chose the ratio, "given", "trial", "several labels" or "a number"
    similarity: float
    similarity_source: str  # given, assumed, estimated, measured
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
    weight_decay: float
    batch_size: int
    epochs: int
    augment: str
    layer_decay: float
    label_smoothing: float
    reasons: tuple[str, ...]
    why: Mapping[str, str]  # of the hyperparameters, by name
    image_size: int | None = None  # pixels; None where no images are known
    evidence: Evidence | None = None

    @property
    def trains_backbone(self) -> bool:
        return self.strategy != "head"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, keys as documented in docs/json.md."""
        return asdict(self) | {
            "reasons": list(self.reasons),
            "evidence": self.evidence.to_json() if self.evidence else None,
        }

    @classmethod
    def from_json(cls, plan: Mapping[str, Any]) -> FreezePlan:
        """Return the plan that `to_json` wrote."""
        evidence = Evidence.from_json(plan["evidence"]) if plan["evidence"] else None
        return cls(**{**plan, "reasons": tuple(plan["reasons"]), "evidence": evidence})


def recommend(
    size: int,
    classes: int,
    blocks: Sequence[Block],
    *,
    backbone: str,
    images_per_class: float | None = None,
    similarity: str | float | None = None,
    source: str | None = None,
    evidence: Evidence | None = None,
    validation: int | None = None,
    freeze: str = "auto",
    policy: str = DEFAULT_POLICY,
    least_classes: int = 2,
) -> FreezePlan:
    """Return the plan for `size` training images of `classes` classes on a backbone of `blocks`.

    `similarity`: a name, a number 0..1, or None (measured where there is evidence, else assumed,
    and said so). `validation`: how many images tuning is judged by. `freeze` other than "auto" sets
    the ratio; the rest of the plan follows from it. Where a number is predicted there is one class.
    Raises TLError where the sizes cannot be.
    """
    if classes < least_classes:
        raise TLError(f"a classifier needs at least {least_classes} classes, got {classes}")
    if size < classes:
        raise TLError(
            f"{count(size, 'image')} cannot show {count(classes, 'class')}",
            "give at least one image a class",
        )
    per_class = size / classes if images_per_class is None else images_per_class
    given = situation(size, classes, per_class, similarity, source, evidence, validation)
    if freeze == "auto":
        choice = POLICIES[policy](given)
        reasons = (*sentences(given), *choice.reasons)
        return _plan(given, choice.share, blocks, backbone, policy, reasons)
    ratio = NAMED_RATIO[freeze] if freeze in NAMED_RATIO else float(freeze)
    reasons = (f"You asked for --freeze {freeze}; no rule was consulted.",)
    return _plan(given, 1 - ratio, blocks, backbone, "given", reasons)


def _plan(
    given: DatasetStats,
    share: float,
    blocks: Sequence[Block],
    backbone: str,
    policy: str,
    reasons: tuple[str, ...],
) -> FreezePlan:
    cut = nearest_cut(blocks, _clean(1 - share))
    shares = frozen_shares(blocks, cut)
    frozen = sum(len(block.layers) for block in blocks[:cut])
    strategy = "head" if cut == len(blocks) else "full" if cut == 0 else "partial"
    numbers, why = hyperparameters(given.size, given.effective_size, strategy)
    plan = FreezePlan(
        strategy=strategy,
        freeze_ratio=round(shares.layers, 4),
        requested_ratio=round(1 - share, 4),
        policy=policy,
        similarity=given.similarity,
        similarity_source=given.source,
        size=given.size,
        classes=given.classes,
        images_per_class=given.images_per_class,
        effective_size=given.effective_size,
        backbone=backbone,
        frozen_blocks=cut,
        blocks=len(blocks),
        last_frozen_block=blocks[cut - 1].name if cut else "",
        frozen_layers=frozen,
        trained_layers=sum(len(block.layers) for block in blocks) - frozen,
        frozen_parameters_share=round(shares.parameters, 4),
        frozen_compute_share=round(shares.compute, 4),
        reasons=reasons,
        why=why,
        evidence=given.evidence,
        **numbers,
    )
    return replace(plan, reasons=plan.reasons + training_reasons(plan))


def _clean(ratio: float) -> float:
    """Return a ratio without the rounding of 1 - (1 - ratio)."""
    return round(ratio, 9)


def alternatives(plan: FreezePlan, blocks: Sequence[Block]) -> dict[str, FreezePlan]:
    """Return the same policy's plans for ten times the images, and for other similarities."""

    def other(times: int = 1, similarity: str | None = None) -> FreezePlan:
        stated = plan.similarity if plan.similarity_source == "given" else None
        return recommend(
            plan.size * times,
            plan.classes,
            blocks,
            backbone=plan.backbone,
            images_per_class=plan.images_per_class * times,
            similarity=similarity or stated,
            evidence=plan.evidence,
            policy=plan.policy,
        )

    if plan.policy not in POLICIES:
        return {}
    kinds = (kind for kind in SIMILARITY if kind != similarity_kind(plan.similarity))
    others = {f"{kind} similarity": other(similarity=kind) for kind in kinds}
    return {"ten times the images": other(times=10)} | others


def override(plan: FreezePlan, **given: Any) -> FreezePlan:
    """Return the plan with the user's own numbers in place of its own; None leaves one as it is."""
    changed = {k: v for k, v in given.items() if v is not None and v != getattr(plan, k)}
    if plan.strategy == "head":
        changed = {k: v for k, v in changed.items() if k == "batch_size"}
    if not changed:
        return plan
    said = f"You set {', '.join(f'{k} {v}' for k, v in changed.items())}."
    why = dict(plan.why) | dict.fromkeys(changed, "you said so")
    before = plan.reasons[: -len(training_reasons(plan))]
    plan = replace(plan, **changed, why=why)
    return replace(plan, reasons=(*before, *training_reasons(plan), said))


def training_reasons(plan: FreezePlan) -> tuple[str, ...]:
    """Return the sentences about the training itself."""
    if plan.strategy == SCRATCH:
        return (
            f"{count(plan.epochs, 'epoch')} at a learning rate of up to {plan.learning_rate:g}: it "
            "rises for a tenth of the steps and falls to zero along a cosine (AdamW).",
        )
    if not plan.trains_backbone:
        return ("The head is solved in closed form on features that are computed once: no epochs.",)
    return (
        "The head is solved first and then tuned together with the trained layers for "
        f"{count(plan.epochs, 'epoch')} at a learning rate of {plan.learning_rate:g}, so that a "
        "random head never damages pretrained weights (LP-FT).",
    )
