"""tl beside plain fine-tuning as people do it: same weights, same images, same machine.

    python scripts/bench_peers.py SETS [--sets a,b] [--size 128] [--seeds 1] [--out FILE]
    python scripts/bench_peers.py --table [--out FILE]

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. Each way
learns from train/ and is measured on test/, in a process of its own, start to end:

- tl: `tl train --data SET` with a cache that is empty, and nothing else said.
- tl, head: the same with --freeze head.
- keras: Keras' guide to transfer learning (keras.io/guides/transfer_learning): random flips and
  rotations, a dropped-out linear head for 10 epochs at Adam's rate, then everything for 10 epochs
  at 1e-5, BatchNorm in inference mode.
- fastai-like: what fastai's fine_tune(5) does, written in Keras: average and maximum pooled, two
  dense layers with BatchNorm and dropout, BatchNorm trained; one epoch of the head, then five of
  everything, one cycle each, rates from a hundredth of the head's, flips, turns, zooms and light.

The last two are given all of train/; tl keeps a fifth of it for validation until its refit. One
JSON line a run is appended to --out; what stands there is not run again.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean

SETS = "flowers,trashnet,sign_digits,ants_bees"
WAYS = ("tl", "tl, head", "keras", "fastai-like")
BATCH = 32
RATE = 2e-3  # fastai's base rate


# -- the peers, in a process of their own ----------------------------------------------------------


def datasets(folder: Path, size: int, seed: int):
    """Return batches of train/ and test/, float32 pixels 0..255 and class numbers; the classes."""
    import keras

    train, test = (
        keras.utils.image_dataset_from_directory(
            folder / split, image_size=(size, size), batch_size=BATCH, seed=seed,
            shuffle=split == "train", verbose=False,
        )
        for split in ("train", "test")
    )  # fmt: skip
    return train.cache().shuffle(10_000, seed=seed), test, len(train.class_names)


def keras_guide(backbone, train, classes: int):
    import keras

    layers = keras.layers
    inputs = keras.Input(backbone.model.input_shape[1:])
    backbone.model.trainable = False
    x = backbone.model(inputs, training=False)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Dense(classes)(x))
    turned = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])
    batches = train.map(lambda x, y: (turned(x, training=True), y))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, jit_compile=False)
    model.fit(batches, epochs=10, verbose=0)
    backbone.model.trainable = True
    model.compile(keras.optimizers.Adam(1e-5), loss, jit_compile=False)
    model.fit(batches, epochs=10, verbose=0)
    return model


def fastai_like(backbone, train, classes: int):
    import keras

    layers = keras.layers
    x = backbone.model.output
    x = layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)])
    x = layers.Dropout(0.25)(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Dense(512, "relu", use_bias=False)(x))
    model = keras.Model(backbone.model.input, layers.Dense(classes)(layers.Dropout(0.5)(x)))
    varied = keras.Sequential(
        [
            layers.RandomFlip("horizontal"), layers.RandomRotation(10 / 360),
            layers.RandomZoom((-0.1, 0.0)), layers.RandomBrightness(0.2),
            layers.RandomContrast(0.2),
        ]
    )  # fmt: skip
    batches = train.map(lambda x, y: (varied(x, training=True), y))
    body = [layer for layer in backbone.model.layers if layer.weights]
    for layer in body:  # fastai leaves BatchNorm trainable in frozen layers too
        layer.trainable = isinstance(layer, layers.BatchNormalization)
    one_cycle(model, batches, 1, RATE, {})
    for layer in body:
        layer.trainable = True
    half = len(body) // 2
    factors = {w.path: 0.01 if i < half else 0.1 for i, x in enumerate(body) for w in x.weights}
    one_cycle(model, batches, 5, RATE / 2, factors)
    return model


def one_cycle(model, batches, epochs: int, rate: float, factors: dict[str, float]) -> None:
    import keras

    from tl_cli.engine.finetune.optimizer import BlockwiseAdamW

    steps = epochs * int(batches.cardinality())
    warm = max(1, steps // 4)
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 25, max(1, steps - warm), alpha=1e-5, warmup_target=rate, warmup_steps=warm
    )
    optimizer = BlockwiseAdamW(schedule, weight_decay=0.01, factors=factors)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    model.fit(batches, epochs=epochs, verbose=0)


PEERS = {"keras": keras_guide, "fastai-like": fastai_like}


def peer(way: str, folder: Path, size: int, seed: int) -> dict:
    """Train as a peer does; return accuracy and log loss on test/."""
    import numpy as np
    from scipy.special import softmax

    from tl_cli import catalog, engine
    from tl_cli.engine.metrics.figures import log_losses
    from tl_cli.engine.networks import loading

    engine.prepare("float32", seed)
    backbone = loading.load(catalog.get(catalog.DEFAULT), size)
    train, test, classes = datasets(folder, size, seed)
    model = PEERS[way](backbone, train, classes)
    labels = np.concatenate([y for _, y in test])
    p = softmax(model.predict(test.map(lambda x, y: x), verbose=0), axis=1)
    return {
        "accuracy": float((p.argmax(1) == labels).mean()),
        "log_loss": float(log_losses(p, labels).mean()),
    }


# -- all of them -----------------------------------------------------------------------------------


def run(way: str, folder: Path, size: int, seed: int) -> dict:
    """Run one way from start to end; return its figures, its seconds and its CPU seconds."""
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "run"
        if way in PEERS:
            command = [sys.executable, __file__, "--peer", way, str(folder)]
            command += ["--size", str(size), "--seeds", str(seed)]
        else:
            command = [sys.executable, "-m", "tl_cli", "train", "--data", str(folder), "-q"]
            command += ["--image-size", str(size), "--seed", str(seed), "--output", str(out)]
            command += ["--freeze", "head"] if way == "tl, head" else []
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        environment = os.environ | {"TL_CACHE": str(Path(work) / "cache")}
        printed = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        figures = json.loads(printed.splitlines()[-1]) if way in PEERS else of_run(out)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**figures, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}


def of_run(out: Path) -> dict:
    """Return the test figures of a run of tl."""
    test = json.loads((out / "metrics.json").read_text())["metrics"]["test"]
    return {name: test[name] for name in ("accuracy", "log_loss")}


def table(rows: list[dict]) -> str:
    """Return Markdown: a line a set, a column a way; then the means."""
    by_set: dict[tuple, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_set[row["set"], row["size"]][row["way"]].append(row)
    whole = {key: ways for key, ways in by_set.items() if set(WAYS) <= set(ways)}
    lines = [
        f"| set | px | {' | '.join(WAYS)} |", "|---|---|" + "---|" * len(WAYS),
    ]  # fmt: skip

    def cell(rows: list[dict], base: list[dict]) -> str:
        time = fmean(r["cpu_seconds"] for r in rows) / fmean(r["cpu_seconds"] for r in base)
        return f"{fmean(r['accuracy'] for r in rows):.3f} (x{time:.2f})"

    for (name, size), ways in sorted(whole.items()):
        shown = " | ".join(cell(ways[way], ways["tl"]) for way in WAYS)
        lines.append(f"| {name} | {size} | {shown} |")
    for said, key in (("accuracy", "accuracy"), ("log loss", "log_loss")):
        means = [fmean(row[key] for of in whole.values() for row in of[way]) for way in WAYS]
        lines.append(f"| mean {said} | | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", type=Path, default=os.environ.get("TL_SETS"))
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/data/peers.jsonl"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        print(json.dumps(peer(given.peer, given.where, given.size, given.seeds)))
        return
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    rows = [json.loads(line) for line in lines]
    if given.table:
        print(table(rows))
        return
    if not given.where:
        parser.error("give the folder of sets, or set TL_SETS")
    done = {(row["set"], row["size"], row["seed"], row["way"]) for row in rows}
    for seed in range(given.seeds):
        for name in given.sets.split(","):
            for way in WAYS:
                if (name, given.size, seed, way) not in done:
                    row = run(way, Path(given.where) / name, given.size, seed)
                    row = {"set": name, "size": given.size, "seed": seed, "way": way, **row}
                    print(row, file=sys.stderr, flush=True)
                    with given.out.open("a") as out:
                        out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
