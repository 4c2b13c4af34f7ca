"""Which training labels look wrong: confident learning on cross-validated answers of a solved head.

Northcutt et al. 2021 (arXiv:1911.00068), by cleanlab. Knows nothing of drawing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from tl_cli import catalog, config, engine, rundir
from tl_cli.engine import backbones, classifier, features, job, probes
from tl_cli.engine.evaluate import encode
from tl_cli.errors import TLError
from tl_cli.manifest import Record, read_csv
from tl_cli.results import OnProgress
from tl_cli.results.doubts import Doubt
from tl_cli.rundir import RunDir


def suspected(run: RunDir, on_progress: OnProgress) -> tuple[int, list[Doubt]]:
    """Return how many training images a run has, and those whose label looks wrong, worst first.

    The head looks at the pretrained network, never at a tuned one: tuning has learned these very
    labels by heart. Raises TLError without cleanlab, and for a run that lacks what is needed.
    """
    issues = _cleanlab()
    described, settings = classifier.describe(run), config.load(run / rundir.CONFIG)
    records = read_csv(run / rundir.MANIFEST).of("train")
    labels = encode([record.label for record in records], described["classes"])
    engine.prepare(described.get("precision", "float32"), settings.seed)
    card = catalog.get(described["backbone"])
    backbone = backbones.load(
        card, int(described["image_size"]), settings.weights or backbones.PRETRAINED
    )
    wanted = job.looked(backbone, settings)
    [rows] = features.extract(backbone, records, [wanted], on_progress=on_progress)
    widths = job.widths(backbone, settings, job.taps(backbone, settings))
    depths = np.split(rows.array()[:, -sum(widths) :], np.cumsum(widths)[:-1], axis=1)
    held_out = _held_out(depths, labels, len(described["classes"]), settings.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class without images, which there may be
        worst = issues(labels, held_out, return_indices_ranked_by="self_confidence", n_jobs=1)
    classes = described["classes"]
    return len(records), [_doubt(records[i], held_out[i], labels[i], classes) for i in worst]


def _held_out(
    depths: Sequence[np.ndarray], labels: np.ndarray, classes: int, seed: int
) -> np.ndarray:
    """Return each image's probabilities from a head that was solved without it."""
    joined, _ = probes.join(depths)
    return probes.solve(joined, labels, classes, seed=seed).held_out


def _doubt(record: Record, p: np.ndarray, label: int, classes: list[str]) -> Doubt:
    suggested = int(p.argmax())
    return Doubt(
        record.path, record.label, classes[suggested], float(p[label]), float(p[suggested])
    )


def _cleanlab():
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise TLError(
            "suspected label errors are found by cleanlab, which is not installed",
            "pip install 'tl-cli[labels]'",
        ) from error
    return find_label_issues
