"""Which pretrained network fits these images best: one look each, a head solved on what each sees.

Every network sees the same images, and its head is asked about those that were held out. First a
few of the images, then all of the subset: a network that is surely worse is left behind early
(successive halving, Jamieson & Talwalkar 2016, arXiv:1502.07943). Nothing is tuned. Knows nothing
of run directories and the terminal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from tl_cli import catalog
from tl_cli.config import RunConfig
from tl_cli.data.manifest import Manifest, Record
from tl_cli.engine import evidence, recommend_freeze
from tl_cli.engine.context import prepare
from tl_cli.engine.finetune import time_budget
from tl_cli.engine.finetune.settings import STEP_COST
from tl_cli.engine.head import choice
from tl_cli.engine.head.linear_head import paired_gain
from tl_cli.engine.networks import loading
from tl_cli.engine.tasks import Head, Task
from tl_cli.errors import TLError
from tl_cli.plan import FreezePlan
from tl_cli.results.progress import Note, OnProgress
from tl_cli.results.ranking import Candidate, RankedNetwork, Ranking, on_the_front

MOST = 2_000  # images that are looked at
FIRST = 0.25  # of them, for the first round
LEAST_FIRST, LEAST_A_CLASS = 200, 5  # images that a first round is worth having with
SURELY = 2.0  # standard errors of log loss by which a network is worse and left behind


@dataclass(frozen=True)
class _Looked:
    """What one network's look came to."""

    candidate: Candidate
    head: Head
    labels: np.ndarray
    row: RankedNetwork
    task: Task


def rank(
    config: RunConfig,
    manifest: Manifest,
    candidates: Sequence[Candidate],
    on_progress: OnProgress,
) -> Ranking:
    """Return the candidates, best first, by their figure on the same held-out images.

    `manifest`: split as a training would have it; its test images take no part. With
    `config.max_minutes` no further look is begun once that time is over: the first is made in any
    case. A round that was cut short does not count, since it judges on other images.
    """
    config = config.for_task(manifest.task)
    until = time.monotonic() + 60 * (config.max_minutes or math.inf)
    records = [r for r in manifest.records if r.split != "test"]
    rounds = _rounds(records, len(candidates), len(manifest.classes))
    left, missed = list(candidates), list[Candidate]()
    behind, final = list[_Looked](), list[_Looked]()
    for most in rounds:
        part = _part(manifest, records, most)
        looks = _looks(config, manifest, part, left, on_progress, until, first=not final)
        missed = [c for c in left[len(looks) :] if not final]
        if len(looks) < len(left) and final:
            break
        final, lost = _halved(looks) if most < rounds[-1] else (looks, [])
        behind += lost
        left = [one.candidate for one in final]
        for one in lost:
            on_progress(Note(f"{one.candidate.name} is left behind after {most:,} images."))
        if missed:
            break
    return _ranking(final, behind, len(records), [candidate.name for candidate in missed])


def resolved(config: RunConfig, manifest: Manifest, on_progress: OnProgress) -> RunConfig:
    """Return the configuration with the network that ranks best here in place of `best`.

    Among those whose weights are on this machine, and with `allow_download` those worth fetching;
    where that is one, it is taken without a look.
    """
    if config.backbone != catalog.BEST:
        return config
    names = catalog.at_hand()
    if config.allow_download:
        names += fetched(catalog.worth_fetching(), on_progress)
    if len(names) == 1:
        on_progress(Note(f"Network: {names[0]}, the only one whose weights are here."))
        return config.effective(backbone=names[0])
    ranking = rank(config, manifest, [Candidate(name) for name in names], on_progress)
    best, *others = ranking.networks
    on_progress(Note(f"Network: {_figure(best)}; {', '.join(map(_figure, others))}."))
    return config.effective(backbone=best.name)


def fetched(names: Sequence[str], on_progress: OnProgress) -> list[str]:
    """Have Keras fetch the weights of networks; return those that are here now."""
    here = []
    for card in map(catalog.get, names):
        on_progress(Note(f"Fetching {card.name}, {card.megabytes:.0f} MB."))
        try:
            loading.load(card, card.image_size)
        except TLError as error:
            on_progress(Note(f"{card.name} is left out: {error.message}."))
        else:
            here.append(card.name)
    return here


def _figure(network: RankedNetwork) -> str:
    return f"{network.name} {network.said} of {network.images:,}"


def _looks(
    config: RunConfig,
    whole: Manifest,
    part: Manifest,
    candidates: Sequence[Candidate],
    on_progress: OnProgress,
    until: float,
    *,
    first: bool,
) -> list[_Looked]:
    """Look with one network after the other; with none more once `until` is over.

    `first`: the first of all looks is made in any case, so that there is an answer.
    """
    looks: list[_Looked] = []
    for candidate in candidates:
        if time.monotonic() > until and (looks or not first):
            break
        on_progress(Note(f"Looking at {len(part.records):,} images with {candidate.name}."))
        looks.append(_look(config, whole, part, candidate, on_progress))
    return looks


def _rounds(records: Sequence[Record], networks: int, classes: int) -> list[int]:
    """Return how many images each round looks at; a first one only where it can save something."""
    last = min(MOST, len(records))
    first = int(FIRST * last)
    worth = networks > 2 and first >= max(LEAST_FIRST, LEAST_A_CLASS * classes)
    return [first, last] if worth else [last]


def _part(manifest: Manifest, records: Sequence[Record], most: int) -> Manifest:
    """Return the manifest of so many images, each class's share kept, all to be learnt from."""
    chosen = (records[i] for i in evidence.stratified(records, most))
    part = manifest.with_records(replace(record, split="train") for record in chosen)
    present = part.counts()
    return replace(part, classes=tuple(name for name in part.classes if present.get(name)))


def _look(
    config: RunConfig,
    whole: Manifest,
    part: Manifest,
    candidate: Candidate,
    on_progress: OnProgress,
) -> _Looked:
    """Pass the images through one network, solve its head, and measure what it costs.

    `part` is looked at; the plan and the times are those of a training on `whole`.
    """
    keras.backend.clear_session()
    chosen = config.effective(backbone=candidate.name, weights=candidate.weights)
    context = replace(prepare(chosen, part), room=0)  # no tensors are kept for a tuning
    layers = evidence.batchnorm_distances(context, on_progress)
    rows = choice.extract(context, on_progress)
    solved = choice.solve(context, rows)
    seen = evidence.gather_evidence(context, rows, solved, layers)
    plan = recommend_freeze.recommend(replace(context, manifest=whole), seen)
    head, labels, task = solved.head, context.labels("train"), context.task
    figure, _ = task.held_out(head, labels)
    seconds = time_budget.image_seconds(context, context.backbone.model)
    look = len(whole.records) * seconds
    row = RankedNetwork(
        name=candidate.name,
        weights=candidate.weights,
        image_size=context.backbone.image_size,
        images=len(part.records),
        accuracy=figure,
        interval=task.interval(head.held_out, labels),
        log_loss=float(task.tuning.losses(head.held_out, labels).mean()),
        milliseconds=1000 * seconds,
        parameters=context.backbone.model.count_params(),
        look_seconds=look,
        train_seconds=look + _passes(plan) * look,
        plan=plan.strategy,
        similarity=seen.similarity,
        similarity_estimated=seen.estimated,
        figure=task.tuning.figure_name,
        loss=task.tuning.loss_name,
    )
    return _Looked(candidate, head, labels, row, task)


def _passes(plan: FreezePlan) -> float:
    """Return the passes of each image through the whole network that the plan's tuning costs."""
    return plan.epochs * STEP_COST * (1 - plan.frozen_compute_share) if plan.epochs else 0.0


def _halved(looks: Sequence[_Looked]) -> tuple[list[_Looked], list[_Looked]]:
    """Return the better half and whoever is not surely worse than the best, and the others."""
    order = sorted(looks, key=lambda one: one.row.log_loss)
    best, half = order[0], math.ceil(len(order) / 2)
    kept = order[:half]
    lost: list[_Looked] = []
    for one in order[half:]:
        loss, error = paired_gain(
            best.head.held_out, one.head.held_out, best.labels, losses=best.task.tuning.losses
        )
        (lost if loss > SURELY * error else kept).append(one)
    return kept, lost


def _ranking(
    final: Sequence[_Looked], behind: Sequence[_Looked], available: int, missed: Sequence[str]
) -> Ranking:
    order = sorted(final, key=lambda one: (-one.row.accuracy, one.row.log_loss))
    front = on_the_front([(one.row.accuracy, one.row.milliseconds) for one in order])
    best = order[0]
    rows = [
        replace(one.row, p_value=_p_value(best, one), pareto=pareto)
        for one, pareto in zip(order, front, strict=True)
    ]
    left = sorted(behind, key=lambda one: -one.row.accuracy)
    rows += [replace(one.row, finalist=False, p_value=0.0) for one in left]
    return Ranking(tuple(rows), best.row.images, available, tuple(missed))


def _p_value(best: _Looked, one: _Looked) -> float:
    """Return how likely chance alone parts a network's figure from the best one's as much."""
    if one is best:
        return 1.0
    return best.task.p_value(best.head.held_out, one.head.held_out, best.labels)
