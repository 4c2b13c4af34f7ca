"""What makes a step slow on a CPU: BatchNorm of its own, and memory that is handed back.

    python scripts/bench_step.py

EfficientNet-Lite0 at 128 px, batches of 32, random images and rows, nothing else on the machine.
Prints two Markdown tables, the least of several times each: a forward pass with BatchNorm as it is
and folded into the convolutions, in turn; and an epoch of the half-frozen network on 22 batches in
memory, in a process where a `tf.data.Dataset.from_generator` was made and in one where none was: on
Python 3.11 it changes how the memory of TensorFlow goes back to the system.
"""

import argparse
import resource
import subprocess
import sys
import time
from functools import partial

import numpy as np

from tl_cli import catalog
from tl_cli.engine.finetune import time_budget
from tl_cli.engine.finetune.compile import compile_suffix
from tl_cli.engine.networks import classifier, graph, loading

import keras  # isort: skip  (after the engine, which imports it quietly)
import tensorflow as tf  # isort: skip

SIZE, BATCH, STEPS, CUT, CLASSES = 128, 32, 22, 9, 10
ROUNDS, EPOCHS = 3, 5


def forward(backbone: loading.Backbone) -> str:
    x = np.random.default_rng(0).uniform(0, 255, (BATCH, SIZE, SIZE, 3)).astype("float32")
    end = [len(backbone.blocks)]
    models = [graph.feature_extractor(backbone.model, end, fold=fold) for fold in (False, True)]
    plain, folded = (model.predict_on_batch(x) for model in models)
    seconds = [
        [time_budget.least_seconds(partial(model.predict_on_batch, x), times=8) for model in models]
        for _ in range(ROUNDS)
    ]
    before, after = np.min(seconds, axis=0)
    return (
        "| forward pass: BatchNorm as it is | folded | ratio | greatest difference | of at most |\n"
        "|---|---|---|---|---|\n"
        f"| {before:.3f} s | {after:.3f} s | {after / before:.2f} | "
        f"{np.abs(folded - plain).max():.1e} | {plain.max():.1f} |"
    )


def epoch(generator: bool) -> str:
    """Return a row of the table: the fastest epoch of this process."""
    if generator:
        one = tf.TensorSpec([], tf.int32)
        list(tf.data.Dataset.from_generator(lambda: [1], output_signature=one))
    backbone = loading.load(catalog.get("efficientnet_lite0"), SIZE)
    built = classifier.build(backbone, [str(i) for i in range(CLASSES)], backbone.stage_ends)
    taps = tuple(tap for tap in backbone.stage_ends if tap <= CUT)
    optimizer = keras.optimizers.AdamW(1e-4, global_clipnorm=1.0)
    model = compile_suffix(built, CUT, optimizer, CUT, taps)
    rng, n = np.random.default_rng(0), STEPS * BATCH
    x = rng.normal(0, 1, (n, model.inputs[0].shape[1])).astype("float32")
    y = np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, n)]
    seconds, faults = _fastest(model, x, y)
    return f"| {'made' if generator else 'none'} | {seconds:.2f} s | {faults:,} |"


def _fastest(model: keras.Model, x: np.ndarray, y: np.ndarray) -> tuple[float, int]:
    """Return the seconds and the page faults of the fastest epoch, after one that traces."""
    seen = []
    for _ in range(EPOCHS + 1):
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        start = time.perf_counter()
        model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
        seconds = time.perf_counter() - start
        seen.append((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults))
    return min(seen[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--one", choices=("none", "made"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(epoch(given.one == "made"))
        return
    print(forward(loading.load(catalog.get("efficientnet_lite0"), SIZE)), end="\n\n", flush=True)
    print("| from_generator | fastest epoch | page faults in it |\n|---|---|---|", flush=True)
    for kind in ("none", "made"):
        subprocess.run([sys.executable, __file__, "--one", kind], check=True)


if __name__ == "__main__":
    main()
