"""The head, solved: what the one pass gives, and the classifier that follows in closed form.

Knows nothing of tuning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_cli.engine import classifier, features, probes
from tl_cli.engine.classifier import Classifier
from tl_cli.engine.features import Rows
from tl_cli.engine.job import SPLITS, Job
from tl_cli.results import HeadFacts, OnProgress


@dataclass(frozen=True)
class SolvedHead:
    """The head that was chosen, and what it looks at."""

    kind: str  # last or multi
    taps: tuple[int, ...]
    head: probes.LinearHead
    pooled: dict[str, np.ndarray]  # by split, float32 [n, D]
    looked: dict[str, np.ndarray]  # by split, float32 [n, all that was looked at]
    candidates: dict[str, probes.LinearHead]  # by kind: what it was chosen from

    @property
    def facts(self) -> HeadFacts:
        head = self.head
        return HeadFacts(
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


def look(job: Job, on_progress: OnProgress) -> Rows:
    """Pass every image through the backbone once; return `job.looked`, all splits in order.

    Where a part stays frozen and another is trained, the tensor at the cut comes from the same
    pass and is kept for the tuning.
    """
    wanted = [job.looked]
    if job.caches_cut:
        wanted.append(job.row())
    records = [record for split in SPLITS for record in job.manifest.of(split)]
    return features.extract(
        job.backbone, records, wanted, keep=job.config.cache, on_progress=on_progress
    )[0]


def solve(job: Job, pooled: Rows) -> SolvedHead:
    """Solve the head on the last tap, on the joined taps, or on both to keep the better one.

    By cross-validation on the training images: see `probes.choose_head`. `pooled`:
    what `look` returned.
    """
    ends, widths = job.taps, job.widths(job.taps)
    looked = _by_split(job, pooled.array())
    arrays = {split: array[:, -sum(widths) :] for split, array in looked.items()}
    heads = _candidates(job, arrays["train"], widths)
    kind = next(iter(heads))
    if len(heads) == 2:
        kind = probes.choose_head(heads["last"], heads["multi"], job.labels("train"))
    columns = slice(-widths[-1], None) if kind == "last" else slice(None)
    return SolvedHead(
        kind=kind,
        taps=ends[-1:] if kind == "last" else ends,
        head=heads[kind],
        pooled={split: array[:, columns] for split, array in arrays.items()},
        looked=looked,
        candidates=heads,
    )


def attach(job: Job, head: SolvedHead) -> Classifier:
    """Return the classifier of the job's backbone and a solved head."""
    built = classifier.build(
        job.backbone, job.manifest.classes, head.taps, job.config.pooling, job.auxiliary
    )
    built.set_head(head.head.weights, head.head.bias)
    return built


def _candidates(job: Job, train: np.ndarray, widths: Sequence[int]) -> dict[str, probes.LinearHead]:
    labels, classes, seed = job.labels("train"), len(job.manifest.classes), job.config.seed
    heads = {}
    if job.config.head != "multi" or len(widths) == 1:
        heads["last"] = probes.solve(
            train[:, -widths[-1] :], labels, classes, seed=seed, sample_weight=job.weights
        )
    if job.config.head != "last" and len(widths) > 1:
        joined, scales = probes.join(np.split(train, np.cumsum(widths)[:-1], axis=1))
        heads["multi"] = probes.solve(
            joined, labels, classes, seed=seed, sample_weight=job.weights
        ).on_raw(scales)
    return heads


def _by_split(job: Job, array: np.ndarray) -> dict[str, np.ndarray]:
    sizes = [len(job.manifest.of(split)) for split in SPLITS]
    return dict(zip(SPLITS, np.split(array, np.cumsum(sizes)[:-1]), strict=True))
