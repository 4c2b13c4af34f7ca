"""The head, solved: what the one pass gives, and the classifier that follows in closed form.

Knows nothing of tuning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_cli.engine import features
from tl_cli.engine.context import SPLITS, RunContext
from tl_cli.engine.features import Rows
from tl_cli.engine.head import LinearHead, choose_head, join, solver
from tl_cli.engine.networks import classifier
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.results.progress import OnProgress
from tl_cli.results.training import HeadResult


@dataclass(frozen=True)
class SolvedHead:
    """The head that was chosen, and what it looks at."""

    kind: str  # last or multi
    taps: tuple[int, ...]
    head: LinearHead
    pooled: dict[str, np.ndarray]  # by split, float32 [n, D]
    looked: dict[str, np.ndarray]  # by split, float32 [n, all that was looked at]
    candidates: dict[str, LinearHead]  # by kind: what it was chosen from

    @property
    def facts(self) -> HeadResult:
        head = self.head
        return HeadResult(
            kind=self.kind,
            strength=head.strength,
            temperature=head.temperature,
            cv_accuracy=head.cv_accuracy,
            cv_log_loss=head.cv_log_loss,
            cv_stderr=head.cv_stderr,
        )

    def probabilities(self, split: str) -> np.ndarray:
        """Return float32 [n, C] for the images of a split, in order."""
        return self.head.probabilities(self.pooled[split])


def look(context: RunContext, on_progress: OnProgress) -> Rows:
    """Pass every image through the backbone once; return `job.looked`, all splits in order.

    Where a part stays frozen and another is trained, the tensor at the cut comes from the same
    pass and is kept for the tuning.
    """
    wanted = [context.feature_spec]
    if context.caches_cut:
        wanted.append(context.row())
    records = [record for split in SPLITS for record in context.manifest.of(split)]
    return features.extract(
        context.backbone, records, wanted, keep=context.config.cache, on_progress=on_progress
    )[0]


def solve(context: RunContext, pooled: Rows) -> SolvedHead:
    """Solve the head on the last tap, on the joined taps, or on both to keep the better one.

    By cross-validation on the training images: see `choose_head`. `pooled`:
    what `look` returned.
    """
    ends, widths = context.taps, context.widths(context.taps)
    looked = _by_split(context, pooled.array())
    arrays = {split: array[:, -sum(widths) :] for split, array in looked.items()}
    heads = _candidates(context, arrays["train"], widths)
    kind = next(iter(heads))
    if len(heads) == 2:
        labels = context.labels("train")
        kind = choose_head(heads["last"], heads["multi"], labels, context.weights)
    columns = slice(-widths[-1], None) if kind == "last" else slice(None)
    return SolvedHead(
        kind=kind,
        taps=ends[-1:] if kind == "last" else ends,
        head=heads[kind],
        pooled={split: array[:, columns] for split, array in arrays.items()},
        looked=looked,
        candidates=heads,
    )


def attach(context: RunContext, head: SolvedHead) -> Classifier:
    """Return the classifier of the job's backbone and a solved head."""
    built = classifier.build(
        context.backbone,
        context.manifest.classes,
        head.taps,
        context.config.pooling,
        context.auxiliary,
    )
    built.set_head(head.head.weights, head.head.bias)
    return built


def _candidates(
    context: RunContext, train: np.ndarray, widths: Sequence[int]
) -> dict[str, LinearHead]:
    labels, classes = context.labels("train"), len(context.manifest.classes)
    options = {
        "seed": context.config.seed,
        "sample_weight": context.weights,
        "groups": context.groups("train"),
    }
    heads = {}
    if context.config.head != "multi" or len(widths) == 1:
        heads["last"] = solver.solve(train[:, -widths[-1] :], labels, classes, **options)
    if context.config.head != "last" and len(widths) > 1:
        joined, scales = join(np.split(train, np.cumsum(widths)[:-1], axis=1))
        heads["multi"] = solver.solve(joined, labels, classes, **options).on_raw(scales)
    return heads


def _by_split(context: RunContext, array: np.ndarray) -> dict[str, np.ndarray]:
    sizes = [len(context.manifest.of(split)) for split in SPLITS]
    return dict(zip(SPLITS, np.split(array, np.cumsum(sizes)[:-1]), strict=True))
