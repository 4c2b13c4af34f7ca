"""Which training labels look wrong, by the answers of a solved head to images it never saw.

Classes by confident learning (Northcutt et al. 2021, arXiv:1911.00068), by cleanlab; numbers by how
far they are off (see `values`). Knows nothing of drawing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tl_cli import catalog, config, engine
from tl_cli.data import decode, groups
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION, Record
from tl_cli.engine import features, run_images
from tl_cli.engine.context import feature_spec_of, head_taps, tap_widths
from tl_cli.engine.networks import classifier, loading
from tl_cli.engine.tasks import TASKS
from tl_cli.errors import TLError
from tl_cli.results.label_errors import NOT, Doubted, DoubtfulValue, LabelError
from tl_cli.results.progress import OnProgress
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

Finder = Callable[[Sequence[Record], np.ndarray, np.ndarray, Sequence[str]], list[Any]]

# A robust deviation is so many median absolute deviations of normal errors, and beyond so many of
# these an error is an outlier (Iglewicz and Hoaglin 1993, "How to detect and handle outliers"). Of
# normal errors one in 2,000 is.
OF_NORMAL, OUTLYING = 1.4826, 3.5


def suspected(run: RunDir, on_progress: OnProgress) -> tuple[int, list[Doubted]]:
    """Return how many training images a run has, and those whose label looks wrong, worst first.

    The head looks at the pretrained network, never at a tuned one: tuning has learned these very
    labels by heart. Nor has it seen copies of an image, or others of its group, when it is asked.
    Images that are gone, of which nothing is kept, or that others lie in the place of, are left
    out: that is told. Raises TLError without cleanlab where it is needed, and for a run that lacks
    what is needed.
    """
    described, settings = classifier.describe(run), config.of_run(run / run_dir.CONFIG)
    name = described.get("task", CLASSIFICATION)
    find, task = FINDERS[name](), TASKS[name]
    decode.use(described)
    engine.prepare(described.get("precision", "float32"), settings.seed)
    card = catalog.get(described["backbone"], settings.preprocessing)
    backbone = loading.load(
        card, int(described["image_size"]), settings.weights or loading.PRETRAINED
    )
    wanted = feature_spec_of(backbone, settings)
    kept = features.kept(backbone, wanted)
    there = run_images.of_training(run, backbone.image_size, kept)
    there.require("put them back where they were, or train again on what there is now")
    run_images.tell(there, on_progress)
    records = there.records
    labels = task.targets(records, described["classes"])
    [rows] = features.extract(backbone, records, [wanted], on_progress=on_progress)
    widths = tap_widths(backbone, settings, head_taps(backbone, settings))
    held_out = task.solve(
        rows.array()[:, -sum(widths) :],
        widths,
        labels,
        len(described["classes"]),
        seed=settings.seed,
        groups=groups.numbers(records),
    ).held_out
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class without images, which there may be
        return len(records), find(records, held_out, labels, described["classes"])


def _of_classes(
    issues: Callable[..., np.ndarray],
    records: Sequence[Record],
    held_out: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
) -> list[LabelError]:
    worst = issues(labels, held_out, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [_doubt(records[i], held_out[i], labels[i], classes) for i in worst]


def _of_labels(
    issues: Callable[..., np.ndarray],
    records: Sequence[Record],
    held_out: np.ndarray,
    indicators: np.ndarray,
    classes: Sequence[str],
) -> list[LabelError]:
    """Return each label of each image that looks wrong, said or not; the surest first.

    Label by label, as of two classes: that an image has it, and that it has not.
    """
    found: list[LabelError] = []
    for name, p, has in zip(classes, held_out.T, indicators.T, strict=True):
        two = np.stack([1 - p, p], axis=1).astype("float64")
        if has.all() or not has.any():
            continue
        worst = issues(
            has.astype(int),
            two,
            filter_by="both",  # of a rare label each image that has it is improbable
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
        found += [_asserted(records[i], name, float(p[i]), bool(has[i])) for i in worst]
    return sorted(found, key=lambda each: each.label_probability)


def values(
    records: Sequence[Record], held_out: np.ndarray, true: np.ndarray, classes: Sequence[str]
) -> list[DoubtfulValue]:
    """Return the images whose number [n, 1] is further off than the errors of others explain.

    By standardised residuals of held-out answers [n, 1] (Zhou et al. 2023, arXiv:2305.16583), the
    deviation being that of the median, which a few wrong numbers do not move.
    """
    off = (true - held_out.astype("float64"))[:, 0]
    apart = off - np.median(off)
    spread = OF_NORMAL * float(np.median(np.abs(apart)))
    if not spread:  # half of all are said to the last digit
        return []
    score = np.abs(apart) / spread
    worst = [i for i in np.argsort(-score, kind="stable") if score[i] > OUTLYING]
    return [
        DoubtfulValue(records[i].path, float(true[i, 0]), float(held_out[i, 0]), float(score[i]))
        for i in worst
    ]


def _asserted(record: Record, name: str, p: float, has: bool) -> LabelError:
    own = (name, f"{NOT}{name}")
    said, other = own if has else own[::-1]
    return LabelError(record.path, said, other, p if has else 1 - p, 1 - p if has else p)


def _doubt(record: Record, p: np.ndarray, label: int, classes: Sequence[str]) -> LabelError:
    suggested = int(p.argmax())
    return LabelError(
        record.path, record.label, classes[suggested], float(p[label]), float(p[suggested])
    )


def _cleanlab() -> Callable[..., np.ndarray]:
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise TLError(
            "suspected label errors are found by cleanlab, which is not installed",
            "pip install 'tl-cli[labels]'",
        ) from error
    return find_label_issues


# a row a kind of labels; what needs a library asks for it before anything is looked at
FINDERS: dict[str, Callable[[], Finder]] = {
    CLASSIFICATION: lambda: partial(_of_classes, _cleanlab()),
    MULTILABEL: lambda: partial(_of_labels, _cleanlab()),
    REGRESSION: lambda: values,
}
