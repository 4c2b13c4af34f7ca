"""What a GPU does of `tl`'s work, in one call; says on which device it ran.

    python scripts/bench_gpu.py [--images 4096] [--size 224] [--backbone efficientnet_lite0]
        [--out FILE.jsonl]

Needs no data set: JPEGs are made on the spot; the weights of the default network come with tl.
(With random ones what passes shrinks from layer to layer to nothing that float16 can hold.) Without
a GPU everything is tiny, which shows that the script runs and measures nothing. Prints Markdown
tables: for float32, mixed_float16 and mixed_bfloat16

- forward: images a second of the network on random arrays, the device's limit, at the largest batch
  that fits, found by doubling; and with XLA;
- pass: of `tl`'s one pass over the JPEGs, decoding and all, and its share of that limit in float32,
  in which the pass always computes (asked: at least 95 %);
- tune: of training steps of the half that `--freeze half` frees, on rows in memory, on one device
  and on all;
- agree: how far the outputs are from float32's, as a share of their deviation.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tl_cli import catalog, config, engine
from tl_cli.data.scan import scan
from tl_cli.engine import features
from tl_cli.engine.context import feature_spec_of
from tl_cli.engine.finetune import devices
from tl_cli.engine.finetune.auxiliary_heads import NONE
from tl_cli.engine.finetune.compile import compile_suffix
from tl_cli.engine.networks import classifier, loading
from tl_cli.engine.resources import EXHAUSTED
from tl_cli.plan.blocks import nearest_cut

import keras  # isort: skip  (after the engine, which imports it quietly)
import tensorflow as tf  # isort: skip

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
CLASSES = 10
MOST = 4096  # images of a batch that is tried


def jpegs(root: Path, number: int, side: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(number):
        file = root / f"class{i % CLASSES}" / f"{i:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), "uint8"))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, quality=90)


def rate(do: Callable[[], object], images: int, times: int) -> float:
    """Return images a second of the fastest of several calls, after one that traces."""
    do()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        do()
        seconds.append(time.perf_counter() - start)
    return images / min(seconds)


def largest_batch(model: keras.Model, size: int, most: int) -> int:
    """Return the largest power of two that passes; TensorFlow says where it does not."""
    batch = 1
    while batch < most:
        try:
            model.predict_on_batch(np.zeros((2 * batch, size, size, 3), "float32"))
        except EXHAUSTED:
            break
        batch *= 2
    return batch


def loaded(name: str, size: int, precision: str) -> loading.Backbone:
    engine.prepare(precision, 0)
    return loading.load(catalog.get(name), size, loading.PRETRAINED)


def forward(backbone: loading.Backbone, most: int, times: int) -> tuple[dict, np.ndarray]:
    size = backbone.image_size
    batch = largest_batch(backbone.model, size, most)
    images = np.random.default_rng(0).uniform(0, 255, (batch, size, size, 3)).astype("float32")
    on_device = tf.constant(images)
    found: dict[str, float] = {"batch": batch}
    for name, xla in (("forward", False), ("xla", True))[: 2 if on_gpu() else 1]:
        call = tf.function(partial(backbone.model, training=False), jit_compile=xla)
        found[name] = rate(lambda call=call: call(on_device).numpy(), batch, times)  # type: ignore[misc]
    few = images[: min(batch, 16)]
    return found, np.asarray(backbone.model(few, training=False), "float32")


def passed(backbone: loading.Backbone, root: Path) -> float:
    records = scan(str(root)).records
    spec = feature_spec_of(backbone, config.RunConfig(data=""))
    features.extract(backbone, records[: features.BATCH], [spec], keep=False)  # traces it
    start = time.perf_counter()
    features.extract(backbone, records, [spec], keep=False)
    return len(records) / (time.perf_counter() - start)


def tuned(backbone: loading.Backbone, batch: int, steps: int, names: list[str]) -> float:
    """Return images a second of the freed half, from rows in memory."""
    cut = nearest_cut(backbone.blocks, 0.5)
    taps = tuple(tap for tap in backbone.stage_ends if tap <= cut)
    built = classifier.build(backbone, [str(i) for i in range(CLASSES)], backbone.stage_ends)
    replicas = devices.Replicas(built, NONE, names)
    with replicas.scope():
        model = compile_suffix(
            replicas.trained,
            cut,
            keras.optimizers.AdamW(1e-4),
            cut,
            taps,
            kind=devices.Shared if replicas.several else keras.Model,
        )
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (batch, model.inputs[0].shape[1])).astype("float32")
    y = np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, batch)]
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    if replicas.several:
        data = devices.shared_out(data, len(names))

    def epoch() -> None:
        model.fit(data, steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False)

    return rate(epoch, batch * steps, 2)


def on_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def where() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    told = [tf.config.experimental.get_device_details(g).get("device_name", "GPU") for g in gpus]
    return ", ".join(map(str, told)) or f"the CPU ({os.cpu_count()} cores), for want of a GPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--backbone", default=catalog.DEFAULT)
    parser.add_argument("--batch", type=int, default=256, help="images of a training step")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    gpu = on_gpu()
    if not gpu:
        options.images, options.size, options.batch = 40, 32, 8
    steps, times, most = (30, 5, MOST) if gpu else (2, 1, 8)
    print(f"Ran on {where()}; {options.backbone} at {options.size} px.")
    if not gpu:
        print("All sizes are tiny: this shows that the script runs, and measures nothing.")
    print(
        "\n| precision | batch | forward | with XLA | pass | of the limit | tune | on all | off |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "jpegs"
        os.environ["TL_CACHE"] = str(Path(folder) / "cache")
        jpegs(root, options.images, max(options.size, 400 if gpu else 32))
        exact = None
        for precision in PRECISIONS:
            backbone = loaded(options.backbone, options.size, precision)
            row, outputs = forward(backbone, most, times)
            exact = outputs if exact is None else exact
            row |= {"precision": precision, "device": where(), "images": options.images}
            if precision == "float32":
                row["pass"] = passed(backbone, root)
                row["of the limit"] = row["pass"] / row["forward"]
            row["tune"] = tuned(backbone, options.batch, steps, devices.available()[:1])
            several = devices.available() if len(devices.available()) > 1 else []
            row["on all"] = tuned(backbone, options.batch, steps, several) if several else None
            row["off"] = float(np.abs(outputs - exact).max() / exact.std())
            print(line(row), flush=True)
            if options.out:
                with options.out.open("a") as file:
                    print(json.dumps(row), file=file)


def line(row: dict) -> str:
    def cell(name: str, form: str = ",.0f") -> str:
        return "" if row.get(name) is None else format(row[name], form)

    cells = [row["precision"], cell("batch"), cell("forward"), cell("xla"), cell("pass")]
    cells += [cell("of the limit", ".0%"), cell("tune"), cell("on all"), cell("off", ".1e")]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
