"""May the images be mirrored? Decided by what the data show, on features that are there already.

A head solved on plain images is asked about held-out ones, plain and mirrored: where mirroring
changes the answer, it changes the label. Knows nothing of tuning.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

from tl_cli.data.manifest import REGRESSION
from tl_cli.data.quantities import bins
from tl_cli.engine import features
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import FeatureSpec, View
from tl_cli.engine.head import stratified_folds, take_groups
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.engine.head.row_blocks import kept as features_of
from tl_cli.engine.head.row_blocks import taken
from tl_cli.humanize import count
from tl_cli.results.progress import Note, OnProgress

MOST = 400  # held-out images passed once more, or
CLASS_MOST = 8  # of each class, where that is more
LOSS = 0.02  # of accuracy that mirroring may cost beyond a standard error
CLASS_LOSS = 0.5  # of a class's recall
RATE = 0.05  # of the recognised images of a class that noise may lose, at least
CHANCE = 0.05  # that noise alone makes any of all classes lose as many


def decide(context: RunContext, head: SolvedHead, on_progress: OnProgress) -> bool:
    """Return whether augmentation may mirror, and say why where the data decided."""
    config = context.config
    if config.mirror != "auto":
        return config.mirror == "yes"
    labels, groups = context.labels("train"), context.groups("train")
    number = context.manifest.task == REGRESSION
    strata = np.array(bins(labels[:, 0].tolist())) if number else labels
    kept, held = halves(strata, config.seed, groups)
    if not len(held) or len(kept) < 2:
        on_progress(Note("Mirroring: no, there are too few images of a class to try it on."))
        return False
    records = [context.manifest.of("train")[i] for i in held]
    flipped = View(flip=True)
    wanted = FeatureSpec(head.taps, None, flipped, config.feature_dtype, config.pooled)
    [mirrored] = features.extract(
        context.backbone,
        records,
        [wanted],
        keep=config.cache,
        stage="mirrored",
        on_progress=on_progress,
    )
    weights = context.sample_weights("train")
    train = taken(head.features["train"], kept)
    solved = context.task.solve(
        train,
        train.shape[1:],
        labels[kept],
        len(context.manifest.classes),
        seed=config.seed,
        sample_weight=None if weights is None else weights[kept],
        groups=take_groups(groups, kept),
    )
    views = (taken(head.features["train"], held), features_of(mirrored, mirrored.shape[1]))
    answers = [solved.probabilities(rows) for rows in views]
    if number:
        losses = (context.task.tuning.losses(each, labels[held]) for each in answers)
        may, why = verdict_of_numbers(*losses)
    else:
        of = "held-out images" if labels.ndim == 1 else "labels of held-out images"
        thresholds = getattr(solved, "thresholds", ())
        (plain, flipped_right), known = recognised(answers, labels[held], thresholds)
        may, why = verdict(plain, flipped_right, known, of)
    on_progress(Note(f"Mirroring: {'yes' if may else 'no'}, {why}."))
    return may


def recognised(
    answers: Sequence[np.ndarray], labels: np.ndarray, thresholds: Sequence[float]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return by each of the answers [n, C] what is recognised, and the labels: as `verdict` asks.

    Of several labels an image, indicators [n, C], each label that an image has counts by itself.
    """
    if labels.ndim == 1:
        return [np.asarray(p.argmax(1) == labels) for p in answers], labels
    images, own = np.nonzero(labels > 0.5)
    return [(p >= np.asarray(thresholds))[images, own] for p in answers], own


def verdict(
    plain: np.ndarray, mirrored: np.ndarray, labels: np.ndarray, of: str = "held-out images"
) -> tuple[bool, str]:
    """Return whether mirroring keeps the labels, and why.

    `plain`, `mirrored`: bool [n], whether each held-out image was recognised; `labels`: int [n];
    `of`: what they are.
    """
    loss = plain.astype(float) - mirrored
    error = loss.std(ddof=1) / np.sqrt(len(loss)) if len(loss) > 1 else 1.0
    said = (
        f"of {len(loss)} {of} {plain.mean():.0%} are recognised as they are and "
        f"{mirrored.mean():.0%} mirrored"
    )
    if loss.mean() > max(LOSS, error):
        return False, said
    lost = _lost_classes(plain, mirrored, labels)
    if lost:
        return False, f"{said}, and {count(lost, 'class')} can no longer be recognised"
    return True, said


def verdict_of_numbers(plain: np.ndarray, mirrored: np.ndarray) -> tuple[bool, str]:
    """Return whether mirroring keeps the numbers, and why.

    `plain`, `mirrored`: float [n], the loss of each held-out image, of standardised numbers.
    """
    loss = mirrored - plain
    error = loss.std(ddof=1) / np.sqrt(len(loss)) if len(loss) > 1 else 1.0
    said = (
        f"of {len(loss)} held-out images the loss is {plain.mean():.3f} as they are and "
        f"{mirrored.mean():.3f} mirrored"
    )
    return bool(loss.mean() <= max(LOSS, error)), said


def _lost_classes(plain: np.ndarray, mirrored: np.ndarray, labels: np.ndarray) -> int:
    """Return how many classes lose most of what was recognised, and more than noise would.

    Two classes of a hundred that are each other's mirror image cost 2 % in all, and everything to
    those two. Noise loses a recognised image as often as all classes do on average; that so many of
    one class are lost is then binomial, and Bonferroni's correction holds for all classes together.
    """
    _, number, images = np.unique(labels, return_inverse=True, return_counts=True)

    def of_class(which: np.ndarray) -> np.ndarray:
        return np.bincount(number[which], minlength=len(images))

    recognised, lost = of_class(plain), of_class(plain & ~mirrored)
    rate = max(RATE, lost.sum() / max(recognised.sum(), 1))
    beyond_noise = binom.sf(lost - 1, recognised, rate) < CHANCE / len(images)
    net = recognised - of_class(mirrored)
    return int(np.sum(beyond_noise & (net > CLASS_LOSS * images)))


def halves(
    labels: np.ndarray, seed: int, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the images to solve a head on, and of those to try it on.

    Tried are at most half of each class: MOST images at random, or CLASS_MOST of each class where
    that is more. None of them shares its group with, or is of another class than, the first part.
    """
    fold = stratified_folds(labels, 2, seed, groups)
    held = np.random.default_rng(seed).permutation(np.flatnonzero(fold == 1))
    if labels.ndim == 1:
        held = held[np.isin(labels[held], labels[fold == 0])]
        held = held[np.argsort(_turns(labels[held]), kind="stable")]
    classes = len(np.unique(labels)) if labels.ndim == 1 else labels.shape[1]
    held = np.sort(held[: max(MOST, CLASS_MOST * classes)])
    kept = np.setdiff1d(np.arange(len(labels)), held)
    if groups is not None:
        kept = kept[~np.isin(groups[kept], groups[held])]
    return kept, held


def _turns(labels: np.ndarray) -> np.ndarray:
    """Return int [n]: how many of its class come before each image, CLASS_MOST at the most."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    turns = np.empty(len(labels), int)
    turns[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.minimum(turns, CLASS_MOST)
