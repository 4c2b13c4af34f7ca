"""A finished run written by hand: every file that a report reads, nothing trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tl_cli import catalog, config
from tl_cli.data.csv_io import bad_csv_text, write_csv
from tl_cli.data.manifest import BadFile, Manifest, Record
from tl_cli.engine.metrics.figures import evaluate
from tl_cli.plan import recommend
from tl_cli.results import predictions
from tl_cli.results.predictions import Prediction
from tl_cli.results.training import CandidateResult, FinetuneResult
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

HISTORY = """epoch,seconds,loss,val_log_loss,val_accuracy
0,0,nan,0.5,0.8
1,2,0.9,0.47,0.81
2,2,0.6,0.44,0.83
3,2,0.4,0.42,0.84
4,2,0.3,0.43,0.84
"""
AGAIN = "solved again"
TRIED = {  # log loss and accuracy on validation, accuracy on test
    "head": (0.5, 0.8, 0.79),
    "tuned": (0.42, 0.84, 0.82),
    AGAIN: (0.37, 0.86, 0.86),
}


def tuning(kept: str = AGAIN) -> dict:
    """Return what metrics.json says of a tuning after which this candidate was kept."""
    result = FinetuneResult(
        epochs=4,
        best_epoch=3,
        kept=kept,
        gain=0.13,
        gain_stderr=0.02,
        candidates=tuple(CandidateResult(name, *row) for name, row in TRIED.items()),
        reason=f"the tuned network is kept ({kept}): better",
    )
    return result.to_json()


HEAD = {"kind": "multi", "strength": 1.0, "temperature": 0.1, "cv_accuracy": 0.8,
        "cv_log_loss": 0.5, "cv_stderr": 0.02}  # fmt: skip
ENVIRONMENT = {"python": "3.11", "platform": "Linux", "versions": {"tl-cli": "0.1.0"},
               "devices": ["CPU"], "cpu_count": 2, "git_commit": None,
               "command": ["tl", "train", "--data", "my photos"]}  # fmt: skip


def records(pictures: list[Path], classes: list[str], each: int) -> list[Record]:
    """Return `each` records a class and split, on the given image files in turn."""
    files = iter(range(10**9))
    return [
        Record(f"{pictures[(k := next(files)) % len(pictures)]}", name, split, digest=f"{k:032x}",
               width=24, height=16, mode="RGB")
        for split in ("train", "val", "test") for name in classes for _ in range(each)
    ]  # fmt: skip


def finished(
    path: Path,
    found: list[Record],
    *,
    skill: float = 2.0,
    evidence: dict | None = None,
    kept: str = AGAIN,
    **planned: str,
) -> RunDir:
    """Write the run of a made-up classifier; the greater its skill, the fewer its mistakes.

    `kept`: which candidate was kept after the tuning. `planned`: how the plan came about.
    """
    run, classes = RunDir.create(path), sorted({r.label for r in found})
    bad = (BadFile("lost.jpg", classes[0], "is empty"),)
    manifest = Manifest("photos", tuple(classes), tuple(found), bad)
    said, metrics = [], {}
    for split in ("val", "test"):
        own = manifest.of(split)
        labels = np.array([classes.index(r.label) for r in own])
        scores = np.random.default_rng(len(said)).normal(0, 1, (len(own), len(classes)))
        p = np.exp(scores + skill * np.eye(len(classes))[labels])
        p /= p.sum(1, keepdims=True)
        metrics[split] = evaluate(p, labels, classes, split=split).to_json()
        said += [
            Prediction(r.path, split, r.label, classes[row.argmax()], float(row.max()))
            for r, row in zip(own, p, strict=True)
        ]
    size = len(manifest.of("train"))
    blocks = catalog.get(catalog.DEFAULT).blocks
    plan = recommend(
        size, len(classes), blocks, backbone=catalog.DEFAULT, **(planned or {"freeze": "half"})
    )
    write_csv(manifest, run / run_dir.MANIFEST)
    run.write_text(run_dir.BAD_FILES, bad_csv_text(manifest))
    run.write_text(run_dir.CONFIG, config.RunConfig(data="photos", image_size=64).to_yaml())
    run.write_json(run_dir.PLAN, plan.to_json() | {"evidence": evidence})
    run.write_text(run_dir.HISTORY, HISTORY)
    run.write_text(run_dir.PREDICTIONS, predictions.csv_text(said))
    run.write_json(run_dir.ENVIRONMENT, ENVIRONMENT)
    seconds = {"features": 3.0, "tune": 9.0, "total": 12.0}
    told = {"metrics": metrics, "head": HEAD, "tune": tuning(kept), "seconds": seconds}
    run.write_json(run_dir.METRICS, told | {"refit": kept != "tuned"})
    run.status("done")
    return run
