"""May the images be mirrored? Decided by what the data show, on features that are there already.

A head solved on plain images is asked about held-out ones, plain and mirrored: where mirroring
changes the answer, it changes the label. Knows nothing of tuning.
"""

from __future__ import annotations

import numpy as np

from tl_cli.engine import features
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import FeatureSpec, View
from tl_cli.engine.head import solve, stratified_folds
from tl_cli.engine.head.choice import SolvedHead
from tl_cli.results.progress import Note, OnProgress

MOST = 400  # held-out images looked at again
LOSS = 0.02  # of accuracy that mirroring may cost beyond a standard error
CLASS_LOSS = 0.5  # of a class's recall
CLASS_LEAST = 5  # images of a class before it has a say of its own


def decide(context: RunContext, head: SolvedHead, on_progress: OnProgress) -> bool:
    """Return whether augmentation may mirror, and say why where the data decided."""
    if context.config.mirror != "auto":
        return context.config.mirror == "yes"
    labels = context.labels("train")
    held = _held_out(labels, context.config.seed)
    kept = np.setdiff1d(np.arange(len(labels)), held)
    if set(labels[held]) - set(labels[kept]):
        return False
    records = [context.manifest.of("train")[i] for i in held]
    config = context.config
    flipped = View(flip=True)
    wanted = FeatureSpec(head.taps, None, flipped, config.feature_dtype, config.pooling)
    [mirrored] = features.extract(
        context.backbone,
        records,
        [wanted],
        keep=context.config.cache,
        stage="mirrored",
        on_progress=on_progress,
    )
    solved = solve(head.features["train"][kept], labels[kept], len(context.manifest.classes))
    right = [
        solved.probabilities(rows).argmax(1) == labels[held]
        for rows in (head.features["train"][held], mirrored.array())
    ]
    may, why = verdict(*right, labels[held])
    on_progress(Note(f"Mirroring: {'yes' if may else 'no'}, {why}."))
    return may


def verdict(plain: np.ndarray, mirrored: np.ndarray, labels: np.ndarray) -> tuple[bool, str]:
    """Return whether mirroring keeps the labels, and why.

    `plain`, `mirrored`: bool [n], whether each held-out image was recognised; `labels`: int [n].
    """
    loss = plain.astype(float) - mirrored
    error = loss.std(ddof=1) / np.sqrt(len(loss)) if len(loss) > 1 else 1.0
    said = (
        f"of {len(loss)} held-out images {plain.mean():.0%} are recognised as they are and "
        f"{mirrored.mean():.0%} mirrored"
    )
    if loss.mean() > max(LOSS, error):
        return False, said
    for number in np.unique(labels):
        own = labels == number
        if own.sum() >= CLASS_LEAST and loss[own].mean() > CLASS_LOSS:
            return False, f"{said}, and one class is no longer recognised at all"
    return True, said


def _held_out(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return half of each class, at most MOST in all."""
    fold = stratified_folds(labels, 2, seed)
    held = np.flatnonzero(fold == 1)
    return np.sort(np.random.default_rng(seed).permutation(held)[:MOST])
