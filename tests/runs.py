"""What two runs must have in common to be equal to the last bit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tl_cli.store import run_dir

VARY = ("seconds", "peak_memory", "milliseconds")  # of metrics.json: no two runs have the same


def figures(run: Path) -> dict[str, Any]:
    """Return all that a run measured, decided and said."""
    metrics = json.loads((run / run_dir.METRICS).read_text())
    history = run / run_dir.HISTORY
    lines = history.read_text().splitlines() if history.is_file() else []
    return {
        "metrics": {name: value for name, value in metrics.items() if name not in VARY},
        "history": [
            {k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(lines)
        ],
        "plan": json.loads((run / run_dir.PLAN).read_text()),
        "predictions": (run / run_dir.PREDICTIONS).read_text(),
        "held out": np.load(run / run_dir.HELD_OUT).tobytes(),
    }


def weights(run: Path) -> dict[str, bytes]:
    """Return the bytes of every array of the saved weights."""
    arrays: dict[str, bytes] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.asarray(item).tobytes()

    with h5py.File(run / run_dir.WEIGHTS) as file:
        file.visititems(collect)
    return arrays


def check_equal(one: Path, other: Path) -> None:
    """Fail where two runs differ in a figure, in the history, or in a bit of a weight."""
    assert figures(one) == figures(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
