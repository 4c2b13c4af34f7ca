"""Below the waterline: everything that knows of TensorFlow.

Importing this package imports the framework, quietly.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tl_cli.quiet import own_the_loggers, quiet

with quiet():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()

own_the_loggers()

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


def prepare(precision: str, seed: int, *, deterministic: bool = False) -> str:
    """Set the precision and every seed for this process; return the precision chosen.

    On a CPU the same command comes to the same bits as it is; there TensorFlow's deterministic mode
    would only make the batches one after the other. On a GPU `deterministic` asks for it.

    "auto" is mixed precision on a GPU with tensor cores (bfloat16 from compute capability 8.0 on,
    float16 from 7.0 on), and float32 elsewhere: a CPU gains nothing from it.
    """
    chosen = _precision() if precision == "auto" else precision
    keras.config.set_dtype_policy(chosen)
    keras.utils.set_random_seed(seed)
    if deterministic and tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    return chosen


def _precision() -> str:
    capability = min(
        (
            tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
            for gpu in tf.config.list_physical_devices("GPU")
        ),
        default=(0, 0),
    )
    if capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= (7, 0) else "float32"


def jit() -> bool | str:
    """Return `jit_compile` for `compile`: XLA on a CPU makes depthwise networks 8 times slower."""
    return "auto" if tf.config.list_physical_devices("GPU") else False


def environment() -> dict[str, object]:
    """Return what a run ran on, when and where: versions, devices, the folder's git commit."""
    import platform
    from datetime import datetime
    from importlib.metadata import version

    names = ("tl-cli", "tensorflow", "keras", "numpy", "scikit-learn", "pillow")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version(name) for name in names},
        "devices": [f"{d.device_type} {d.name}" for d in tf.config.list_physical_devices()],
        "cpu_count": os.cpu_count(),
        "git_commit": _git_commit(),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _git_commit() -> str | None:
    import subprocess

    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
