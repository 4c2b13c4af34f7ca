"""A run -> pictures. Knows results and nothing of how they were made."""

from __future__ import annotations

from pathlib import Path

from tl_cli.results import Evaluation
from tl_cli.rundir import RunDir

CONFUSION = "confusion.png"


def confusion_png(result: Evaluation, run: RunDir) -> Path:
    """Draw the confusion matrix into the run directory and return where it lies."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    side = max(4.0, 0.5 * len(result.classes) + 2)
    figure = Figure(figsize=(side, side), layout="constrained")
    shown = ConfusionMatrixDisplay(np.array(result.confusion), display_labels=result.classes)
    shown.plot(ax=figure.subplots(), cmap="Blues", colorbar=False, xticks_rotation="vertical")
    with run.replacing(CONFUSION) as path:
        figure.savefig(path, dpi=120)
    return run / CONFUSION
