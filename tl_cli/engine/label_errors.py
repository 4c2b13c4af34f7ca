"""Which training labels look wrong: confident learning on cross-validated answers of a solved head.

Northcutt et al. 2021 (arXiv:1911.00068), by cleanlab. Knows nothing of drawing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from tl_cli import catalog, config, engine
from tl_cli.data import decode, groups
from tl_cli.data.manifest import CLASSIFICATION, NAMED, Record
from tl_cli.engine import features, run_images
from tl_cli.engine.context import feature_spec_of, head_taps, tap_widths
from tl_cli.engine.networks import classifier, loading
from tl_cli.engine.tasks import TASKS
from tl_cli.errors import TLError
from tl_cli.results.label_errors import NOT, LabelError
from tl_cli.results.progress import OnProgress
from tl_cli.store import checkpoint, run_dir
from tl_cli.store.run_dir import RunDir


def suspected(run: RunDir, on_progress: OnProgress) -> tuple[int, list[LabelError]]:
    """Return how many training images a run has, and those whose label looks wrong, worst first.

    The head looks at the pretrained network, never at a tuned one: tuning has learned these very
    labels by heart. Nor has it seen copies of an image, or others of its group, when it is asked.
    Images that are gone, of which nothing is kept, or that others lie in the place of, are left
    out: that is told. Raises TLError without cleanlab, and for a run that lacks what is needed.
    """
    checkpoint.require_task(run / run_dir.CHECKPOINT, NAMED)
    issues = _cleanlab()
    described, settings = classifier.describe(run), config.of_run(run / run_dir.CONFIG)
    task = TASKS[described.get("task", CLASSIFICATION)]
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
    classes = described["classes"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class without images, which there may be
        if labels.ndim == 2:
            return len(records), _of_labels(issues, records, held_out, labels, classes)
        worst = issues(labels, held_out, return_indices_ranked_by="self_confidence", n_jobs=1)
    return len(records), [_doubt(records[i], held_out[i], labels[i], classes) for i in worst]


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


def _asserted(record: Record, name: str, p: float, has: bool) -> LabelError:
    own = (name, f"{NOT}{name}")
    said, other = own if has else own[::-1]
    return LabelError(record.path, said, other, p if has else 1 - p, 1 - p if has else p)


def _doubt(record: Record, p: np.ndarray, label: int, classes: list[str]) -> LabelError:
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
