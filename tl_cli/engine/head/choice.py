"""The head, solved: features by one pass, the classifier that follows in closed form, its refit.

Knows nothing of tuning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tl_cli.data.manifest import SPLITS
from tl_cli.engine import features
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import Rows
from tl_cli.engine.head import choose_head
from tl_cli.engine.networks import classifier
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.tasks import Head
from tl_cli.results.progress import OnProgress
from tl_cli.results.training import HeadResult, MultilabelHeadResult

Features = Mapping[str, np.ndarray]  # by split, float32 [n, D], of each image in order


@dataclass(frozen=True)
class SolvedHead:
    """The head that was chosen, and what it sees."""

    kind: str  # last or multi
    taps: tuple[int, ...]
    widths: tuple[int, ...]  # columns of each tap
    head: Head
    features: Features  # of these taps
    candidates: Mapping[str, Head]  # by kind: what it was chosen from

    @property
    def result(self) -> HeadResult | MultilabelHeadResult:
        return self.head.result(self.kind)

    def probabilities(self, split: str) -> np.ndarray:
        """Return float32 [n, C] for the images of a split, in order."""
        return self.head.probabilities(self.features[split])


def extract(context: RunContext, on_progress: OnProgress) -> Rows:
    """Pass every image through the backbone once; return `context.feature_spec`, split by split.

    Where a part may stay frozen and another be trained, the tensor at the likely cut comes from the
    same pass and is kept for the tuning.
    """
    records = [record for split in SPLITS for record in context.manifest.of(split)]
    return features.extract(
        context.backbone,
        records,
        context.pass_specs,
        keep=context.config.cache,
        on_progress=on_progress,
    )[0]


def by_split(context: RunContext, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return what `extract` gave, split by split."""
    sizes = [len(context.manifest.of(split)) for split in SPLITS]
    return dict(zip(SPLITS, np.split(rows, np.cumsum(sizes)[:-1]), strict=True))


def solve(context: RunContext, rows: Rows) -> SolvedHead:
    """Solve the head on what `extract` returned: see `solve_on`."""
    width = sum(context.widths(context.taps))
    return solve_on(context, by_split(context, rows.array()[:, -width:]))


def solve_on(context: RunContext, pooled: Features) -> SolvedHead:
    """Solve the head on the last tap, on the joined taps, or on both to keep the better one.

    By cross-validation on the training images: see `choose_head`. `pooled`: by split, what all of
    `context.taps` make of the images, float32 [n, D].
    """
    taps, widths = context.taps, tuple(context.widths(context.taps))
    last = slice(-widths[-1], None)
    heads = {}
    if context.config.head != "multi" or len(widths) == 1:
        heads["last"] = _solved(context, pooled["train"][:, last], widths[-1:], "train")
    if context.config.head != "last" and len(widths) > 1:
        heads["multi"] = _solved(context, pooled["train"], widths, "train")
    kind = next(iter(heads))
    if len(heads) == 2:
        kind = choose_head(
            heads["last"],
            heads["multi"],
            context.labels("train"),
            context.sample_weights("train"),
        )
    columns, count = (last, 1) if kind == "last" else (slice(None), len(taps))
    return SolvedHead(
        kind=kind,
        taps=taps[-count:],
        widths=widths[-count:],
        head=heads[kind],
        features={split: array[:, columns] for split, array in pooled.items()},
        candidates=heads,
    )


def refit(context: RunContext, solved: SolvedHead, temperature: float = 1.0) -> Head:
    """Return the head solved on training and validation images together, once all is decided.

    `temperature`: what the scores of `solved.head` are to be divided by beside its own, where its
    folds were too sure; the refit head is made less sure by as much.
    """
    if not context.config.refit:
        return _softened(solved.head, 1 / temperature)
    both = np.concatenate([solved.features["train"], solved.features["val"]])
    # of the same kind: raw scores of ridge and of logistic regression are not of one scale
    head = _solved(context, both, solved.widths, "train", "val", method=solved.head.kind)
    if temperature != 1.0:  # raw scores, divided by what the plain head's were divided by
        temperature *= solved.head.temperature / head.temperature
    return _softened(head, 1 / temperature)


def attach(context: RunContext, solved: SolvedHead, head: Head | None = None) -> Classifier:
    """Return the classifier of the backbone and a solved head; `head`: in place of its own."""
    built = classifier.build(
        context.backbone,
        context.classes,
        solved.taps,
        context.config.pooling,
        thresholds=getattr(solved.head, "thresholds", ()),
    )
    head = head or solved.head
    built.set_head(head.weights, head.bias)
    return built


def probabilities_of(context: RunContext, classifier: Classifier, rows: np.ndarray) -> np.ndarray:
    """Return what a classifier's head says of rows that `extract` made, float32 [n, C]."""
    weights, bias = (np.asarray(w) for w in classifier.head.get_weights())
    width = sum(context.widths(classifier.taps))
    return context.task.activate(rows[:, -width:] @ weights + bias).astype("float32")


def _softened(head: Head, factor: float) -> Head:
    return replace(head, weights=head.weights * factor, bias=head.bias * factor)


def _solved(
    context: RunContext,
    array: np.ndarray,
    widths: Sequence[int],
    *splits: str,
    method: str = "auto",
) -> Head:
    """Return a head on the columns of one tap or of several, joined."""
    return context.task.solve(
        array,
        widths,
        context.labels(*splits),
        len(context.classes),
        seed=context.config.seed,
        sample_weight=context.sample_weights(*splits),
        groups=context.groups(*splits),
        method=method,
    )
