"""The evidence that a plan goes by: BatchNorm's memory, and probes at every depth.

All of it comes from the one pass that the head is solved on. Knows nothing of plans.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tl_cli import catalog
from tl_cli.data.manifest import Record
from tl_cli.engine import features
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import PIXELS, FeatureSpec, Rows, batchnorm_shift
from tl_cli.engine.features.shards import Pass
from tl_cli.engine.head import take_groups
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.plan import evidence
from tl_cli.plan.evidence import Evidence, Probe
from tl_cli.results.progress import OnProgress

MOMENTS_OF = 256  # images: D of 100 varies by 0.003 from subset to subset
PROBED = 2_000  # images at the most


def stratified(records: Sequence[Record], most: int) -> list[int]:
    """Return the numbers of at most `most` records, each class's share kept; by content."""
    order: list[tuple[float, str, int]] = []
    for label in {record.label for record in records}:
        own = [(r.digest, i) for i, r in enumerate(records) if r.label == label]
        order += [((k + 0.5) / len(own), *each) for k, each in enumerate(sorted(own))]
    return sorted(i for _, _, i in sorted(order)[:most])


def moments_pass(context: RunContext) -> Pass | None:
    """Return which images pass for the BatchNorm distances, and for what; None without BatchNorm.

    They are kept, so that the pass over all images leaves them out. Where all are few, all pass
    here, training images first: a second network would take longer to build than to run.
    """
    if not batchnorm_shift.width(context.backbone.model):
        return None
    records = context.manifest.of("train")
    chosen: Sequence[Record] = context.records
    if len(chosen) > MOMENTS_OF:
        chosen = [records[i] for i in stratified(records, MOMENTS_OF)]
    return Pass(chosen, [*context.pass_specs, FeatureSpec(moments=True)], "similarity")


def batchnorm_distances(context: RunContext, on_progress: OnProgress) -> np.ndarray | None:
    """Return each BatchNorm's distance [L] to some training images; None where it has none."""
    first = moments_pass(context)
    if first is None:
        return None
    *_, rows = features.extract(
        context.backbone,
        first.records,
        first.wanted,
        keep=context.config.cache,
        stage=first.stage,
        on_progress=on_progress,
    )
    seen = rows.array()[: len(context.manifest.of("train"))]
    return batchnorm_shift.distances(context.backbone.model, seen)


def gather_evidence(
    context: RunContext, rows: Rows, head: SolvedHead, layers: np.ndarray | None
) -> Evidence:
    """Return the evidence from what `choice.extract` gave, the heads and the distances."""
    chosen = np.array(stratified(context.manifest.of("train"), PROBED))
    labels, task = context.labels("train"), context.task
    weights = context.sample_weights("train")
    # as the heads were solved, or the depths could not be compared with them
    options: dict[str, Any] = {
        "seed": context.config.seed,
        "sample_weight": None if weights is None else weights[chosen],
        "groups": take_groups(context.groups("train"), chosen),
    }
    pooled = rows[chosen].astype("float32")  # training images come first

    def probe(name: str, columns: slice) -> Probe:
        part = pooled[:, columns]
        solved = task.solve(
            part, part.shape[1:], labels[chosen], len(context.classes), method="ridge", **options
        )
        return Probe(name, *task.held_out(solved, labels[chosen]))

    def of_head(name: str, kind: str) -> Probe | None:
        solved = head.candidates.get(kind)
        return Probe(name, *task.held_out(solved, labels)) if solved else None

    depths = context.depths
    names = [context.backbone.blocks[tap - 1].name for tap in depths]
    columns = _columns([PIXELS * PIXELS * 3, *context.widths(depths)])
    by_depth = [probe(*each) for each in zip(names[:-1], columns[1:-1], strict=True)]
    by_depth.append(of_head(names[-1], "last") or probe(names[-1], columns[-1]))
    distance = None if layers is None else float(layers.mean())
    return Evidence(
        images=len(chosen),
        distance=distance,
        thirds=None if layers is None else _thirds(layers),
        similarity=_similarity(context, distance),
        probes=tuple(by_depth),
        joined=of_head("joined", "multi") or by_depth[-1],
        pixels=probe("pixels", columns[0]),
        estimated=distance is not None and context.backbone.card.name not in catalog.ANCHORS,
        figure=task.tuning.figure_name,
    )


def _similarity(context: RunContext, distance: float | None) -> float | None:
    if distance is None:
        return None
    anchors = catalog.anchors(context.backbone.card.name)
    return round(evidence.similarity(distance, anchors, context.backbone.image_size), 4)


def _columns(widths: Sequence[int]) -> list[slice]:
    ends = np.cumsum([0, *widths])
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]


def _thirds(layers: np.ndarray) -> tuple[float, float, float]:
    early, middle, late = (float(part.mean()) for part in np.array_split(layers, 3))
    return early, middle, late
