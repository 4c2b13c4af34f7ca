"""The head, solved: features by one pass, the classifier that follows in closed form, its refit.

Knows nothing of tuning.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tl_cli.data.manifest import SPLITS
from tl_cli.engine import features
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import Rows
from tl_cli.engine.features.shards import Pass
from tl_cli.engine.head import choose_head, kernel, row_blocks
from tl_cli.engine.head.kernel import KERNEL
from tl_cli.engine.head.row_blocks import Features, RowBlocks, columns, stacked, taken
from tl_cli.engine.networks import classifier
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.networks.kernel_layers import set_kernel
from tl_cli.engine.tasks import Head
from tl_cli.results.progress import OnProgress
from tl_cli.results.training import HeadResult, MultilabelHeadResult, RegressionHeadResult

BySplit = Mapping[str, Features]  # float32 [n, D], of each image in order


@dataclass(frozen=True)
class SolvedHead:
    """The head that was chosen, and what it sees."""

    kind: str  # last, multi or kernel
    taps: tuple[int, ...]
    widths: tuple[int, ...]  # columns of each tap
    head: Head
    features: BySplit  # of these taps
    candidates: Mapping[str, Head]  # by kind: what it was chosen from
    line: SolvedHead | None = None  # of a kernel head: the better of the others

    @property
    def result(self) -> HeadResult | MultilabelHeadResult | RegressionHeadResult:
        return self.head.result(self.kind)

    def probabilities(self, split: str) -> np.ndarray:
        """Return float32 [n, C] for the images of a split, in order."""
        return self.head.probabilities(self.features[split])


def extract(context: RunContext, on_progress: OnProgress) -> Rows:
    """Pass every image through the backbone once; return `context.feature_spec`, split by split.

    Where a part may stay frozen and another be trained, the tensor at the likely cut comes from the
    same pass and is kept for the tuning.
    """
    whole = whole_pass(context)
    return features.extract(
        context.backbone,
        whole.records,
        whole.wanted,
        keep=context.config.cache,
        on_progress=on_progress,
    )[0]


def whole_pass(context: RunContext) -> Pass:
    """Return the pass of all images: which they are, in order, and for which tables."""
    return Pass(context.records, context.pass_specs)


def by_split(context: RunContext, rows: Features) -> dict[str, Features]:
    """Return what `extract` gave, split by split."""
    ends = np.cumsum([0, *(len(context.manifest.of(split)) for split in SPLITS)])
    parts = itertools.pairwise(ends.tolist())
    return {s: taken(rows, slice(*part)) for s, part in zip(SPLITS, parts, strict=True)}


def solve(context: RunContext, rows: Rows) -> SolvedHead:
    """Solve the head on what `extract` returned: see `solve_on`.

    Where the features do not fit into memory, they stay on disk and are read in blocks.
    """
    width = sum(context.widths(context.taps))
    return solve_on(context, by_split(context, row_blocks.kept(rows, width)))


def solve_on(context: RunContext, pooled: BySplit, *, fitted: bool = False) -> SolvedHead:
    """Solve the head on the last tap, on the joined taps, or on both to keep the better one.

    With enough images also one with a kernel on the joined taps. By cross-validation on the
    training images: see `choose_head` and `kernel.better`. `pooled`: by split, what all of
    `context.taps` make of the images, float32 [n, D]; `fitted`: whether the features have been
    fitted to the training images, whose folds can choose nothing then: the taps are joined.
    """
    asked, widths = context.config.head, tuple(context.widths(context.taps))
    wanted = "multi" if fitted and asked == "auto" else asked
    line = _line(context, pooled, wanted)
    worth = wanted == "auto" and kernel.worth(len(pooled["train"]), sum(widths))
    train = pooled["train"]
    if fitted or context.task.bend is None or (wanted != KERNEL and not worth):
        return line
    if isinstance(train, RowBlocks):
        return line  # so many images lie on disk, and ask for no kernel
    head = _kernel(context, train, widths, kernel.FACTORS, "train")
    labels, weights = context.labels("train"), context.sample_weights("train")
    losses = context.task.tuning.losses
    if wanted != KERNEL and not kernel.better(head, line.head, labels, weights, losses):
        return replace(line, candidates={**line.candidates, KERNEL: head})
    return SolvedHead(
        kind=KERNEL,
        taps=context.taps,
        widths=widths,
        head=head,
        features=pooled,
        candidates={**line.candidates, KERNEL: head},
        line=line,
    )


def _line(context: RunContext, pooled: BySplit, wanted: str) -> SolvedHead:
    taps, widths = context.taps, tuple(context.widths(context.taps))
    last = slice(-widths[-1], None)
    heads = {}
    if wanted != "multi" or len(widths) == 1:
        heads["last"] = _solved(context, columns(pooled["train"], last), widths[-1:], "train")
    if wanted != "last" and len(widths) > 1:
        heads["multi"] = _solved(context, pooled["train"], widths, "train")
    kind = next(iter(heads))
    if len(heads) == 2:
        kind = choose_head(
            heads["last"],
            heads["multi"],
            context.labels("train"),
            context.sample_weights("train"),
            context.task.tuning.losses,
        )
    chosen, count = (last, 1) if kind == "last" else (slice(None), len(taps))
    return SolvedHead(
        kind=kind,
        taps=taps[-count:],
        widths=widths[-count:],
        head=heads[kind],
        features={split: columns(array, chosen) for split, array in pooled.items()},
        candidates=heads,
    )


def refit(
    context: RunContext,
    solved: SolvedHead,
    temperature: float = 1.0,
    neutral: np.ndarray | float = 0.0,
) -> Head:
    """Return the head solved on training and validation images together, once all is decided.

    `temperature`: what the distance of the scores of `solved.head` from `neutral` ones [C] is to be
    divided by beside its own, where its folds were too sure; the refit head is made less sure by as
    much.
    """
    if not context.config.refit:
        return softened(solved.head, 1 / temperature, neutral)
    both = stacked([solved.features["train"], solved.features["val"]])
    head: Head
    factor = getattr(solved.head, "factor", None)
    if factor is not None:
        factors = [factor]
        head = _kernel(context, np.asarray(both), solved.widths, factors, "train", "val")
    else:
        # of the same kind: raw scores of ridge and of logistic regression are not of one scale
        head = _solved(context, both, solved.widths, "train", "val", method=solved.head.kind)
    if temperature != 1.0:  # raw scores, divided by what the plain head's were divided by
        head = head.calibrated_as(solved.head)  # type: ignore[arg-type]
    return softened(head, 1 / temperature, neutral)


def attach(
    context: RunContext,
    solved: SolvedHead,
    head: Head | None = None,
    thresholds: Sequence[float] | None = None,
) -> Classifier:
    """Return the classifier of the backbone and a solved head.

    `head`, `thresholds`: in place of its own.
    """
    head = head or solved.head
    own = getattr(solved.head, "thresholds", ())
    bent = getattr(head, "kernel", None)
    built = classifier.build(
        context.backbone,
        context.classes,
        solved.taps,
        context.config.pooled,
        task=context.manifest.task,
        thresholds=own if thresholds is None else thresholds,
        scale=getattr(solved.head, "scale", (0.0, 1.0)),
        centres=len(bent.centres) if bent else 0,
    )
    if bent and built.kernel:
        set_kernel(built.kernel, *bent.layers())
    built.set_head(head.weights, head.bias)
    return built


def probabilities_of(
    context: RunContext, classifier: Classifier, rows: Rows | Features
) -> np.ndarray:
    """Return what a classifier's head says of rows that `extract` made, float32 [n, C]."""
    width = sum(context.widths(classifier.taps))
    features = (
        columns(rows, slice(rows.shape[1] - width, rows.shape[1]))
        if isinstance(rows, np.ndarray | RowBlocks)
        else row_blocks.kept(rows, width)
    )
    step = row_blocks.BLOCK if isinstance(features, RowBlocks) else max(1, len(features))
    parts = [classifier.scores(features[i : i + step]) for i in range(0, len(features), step)]
    return context.task.tuning.activate(np.concatenate(parts)).astype("float32")


def _kernel(
    context: RunContext,
    array: np.ndarray,
    widths: Sequence[int],
    factors: Sequence[float],
    *splits: str,
) -> Head:
    """Return a kernel head on the joined columns, of the best of some widths of the kernel."""
    assert context.task.bend
    return context.task.bend(
        array,
        widths,
        context.labels(*splits),
        len(context.classes),
        factors=factors,
        seed=context.config.seed,
        sample_weight=context.sample_weights(*splits),
        groups=context.groups(*splits),
    )


def softened(head: Head, factor: float, neutral: np.ndarray | float) -> Head:
    """Return a head whose scores are so much nearer to neutral ones [C]."""
    bias = (neutral + (head.bias - neutral) * factor).astype("float32")
    return replace(head, weights=head.weights * factor, bias=bias)


def _solved(
    context: RunContext,
    array: Features,
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
