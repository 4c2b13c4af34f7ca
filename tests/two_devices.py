"""Trainings on one device and on two of this CPU, in a process of its own: see test_devices.py.

    python two_devices.py FOLDER [TRAINING ...]

Prints a line of JSON: for each training, losses by epoch and the greatest difference of weights.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tiny import coloured, tiny_context, tiny_head, tiny_settings  # noqa: E402
from tl_cli import engine  # noqa: E402
from tl_cli.engine.finetune import devices, finetune, from_scratch  # noqa: E402
from tl_cli.engine.finetune.checkpoints import NONE, Checkpoints  # noqa: E402
from tl_cli.engine.finetune.fit import fit  # noqa: E402
from tl_cli.engine.finetune.state import copies  # noqa: E402
from tl_cli.engine.finetune.training_data import TrainingData  # noqa: E402
from tl_cli.errors import TLError  # noqa: E402
from tl_cli.results.progress import silent  # noqa: E402
from tl_cli.store import resume  # noqa: E402
from tl_cli.store.run_dir import RunDir  # noqa: E402

RESUMED = {"batch_size": 7, "ema": 0.9, "epochs": 3}
# of 21 images; where a batch does not divide evenly, each has a device with less
TRAININGS = {
    "odd": {"batch_size": 7, "balance": "weights", "ema": 0.9, "unfreeze": "gradual", "epochs": 3},
    "small": {"batch_size": 2},  # and a batch of one
    "mixed": {"batch_size": 8, "augment": "strong", "freeze": "full", "label_smoothing": 0.1},
    "auxiliary": {"batch_size": 8, "aux_heads": 1},
    "float16": {"batch_size": 7, "precision": "mixed_float16"},
    "scratch": {"batch_size": 8, "from_scratch": True, "freeze": "auto"},
}


def trained(root: Path, number: str, options: dict, kept: Checkpoints = NONE):
    """Return the epochs' losses, the weights at the end and how many devices trained."""
    defaults = {"epochs": 2, "freeze": "half", "learning_rate": 1e-3, "augment": "none"}
    options = defaults | options
    engine.prepare(options.get("precision", "float32"), 0)
    context = tiny_context(root, **options, devices=number)
    if context.config.from_scratch:
        classifier = from_scratch.random_classifier(context)
    else:
        classifier = finetune.softened(context, tiny_head(context))
    decided = tiny_settings(context)
    data = TrainingData(context, decided, silent)
    fitted = fit(context, decided, classifier, data, silent, kept)
    losses = [(row["loss"], row["val_log_loss"]) for row in fitted.best.history]
    # what is validated afterwards has the weights of what was trained
    scores = data.outputs(fitted.model, "val")[0]
    used = len(devices.chosen(context.config, decided))
    return losses, copies(classifier.model.weights), scores, used


def resumed(root: Path) -> dict:
    """Two devices go on after the second epoch of three, and one after the first, of two's."""
    run = RunDir.create(root.parent / "run")
    resume.begin(run, {})
    kept = Checkpoints(run)
    whole = trained(root, "2", RESUMED, kept)
    epochs = [str(path) for path in kept._files()]
    Path(epochs[-1]).unlink()
    again = trained(root, "2", RESUMED, Checkpoints(run))
    Path(kept._files()[-1]).unlink()
    alone = trained(root, "1", RESUMED, Checkpoints(run))
    return {
        "whole": whole[0],
        "again": again[0],
        "alone": alone[0],
        "kept": len(epochs),
        "weights": [greatest(whole[1], other[1]) for other in (again, alone)],
    }


def greatest(one: list, other: list) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def compared(root: Path, options: dict) -> dict:
    one, other = (trained(root, number, options) for number in ("1", "2"))
    return {
        "one": one[0],
        "two": other[0],
        "weights": greatest(one[1], other[1]),
        "scores": float(np.abs(one[2] - other[2]).max()),
        "devices": [one[3], other[3]],
    }


def main() -> None:
    root = coloured(Path(sys.argv[1]) / "data", per_class=13)
    found = {name: compared(root, TRAININGS[name]) for name in sys.argv[2:] if name in TRAININGS}
    if "resumed" in sys.argv:
        found["resumed"] = resumed(root)
    try:
        devices.check(tiny_context(root, devices="3").config)
    except TLError as error:
        found["refused"] = error.message
    found["parts"] = len(devices.chosen(*_of(root, {"devices": "2"}, parts=2)))
    found["default"] = len(devices.chosen(*_of(root, {})))
    found["all"] = len(devices.chosen(*_of(root, {"devices": "all"})))
    print(json.dumps(found))


def _of(root: Path, options: dict, parts: int = 1):
    context = tiny_context(root, **options)
    return context.config, replace(tiny_settings(context), parts=parts)


if __name__ == "__main__":
    main()
