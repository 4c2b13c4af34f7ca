"""`tl train` against plain Keras and against one bare pass, on the same images and network.

    python scripts/bench_speed.py SETS [--sets sign_digits,flowers] [--out FILE.jsonl]
    python scripts/bench_speed.py --table        # of what was measured
    python scripts/bench_speed.py --memory       # 20,000 made images, features beyond memory

SETS is a folder of <set>/{train,test}/<class>/*; TL_SETS is used where it is not given. Every
measurement is a process of its own with an empty cache, timed from after the imports to the end;
the ones that are compared run one after the other. Prints a Markdown table by the clock, and one by
CPU time of all threads, which other work on the machine disturbs less.

- keras head, keras half: image_dataset_from_directory, the backbone frozen (or its first half),
  global average pooling, Dense, Adam 1e-3 (half: 1e-4), fit for 10 epochs, evaluate; as the Keras
  guide to transfer learning does it.
- limit: build the network, trace it, one forward pass over the decoded arrays of all images.
- ours head: all of `tl train --freeze head`, from the scan to the saved checkpoint (the result),
  and on to the report.
- again: the same once more with another head, from the kept features.
- ours half: `tl train --freeze half`, 10 epochs, no augmentation, as Keras has none here.
- epoch: seconds of the fastest epoch of the tuned half, and of the same suffix on random arrays in
  memory. The fastest, because a virtual machine at times runs both threads on one core.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

EPOCHS = 10
BATCH = 32


# -- one measurement, in a process of its own ----------------------------------------------------


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> dict[str, float]:
    """Seconds by the clock, and of CPU time in all threads."""
    seconds, cpu = (now - then for now, then in zip(clocks(), start, strict=True))
    return {"seconds": seconds, "cpu": cpu}


def keras_plain(folder: Path, size: int, freeze: str) -> dict:
    import keras

    from tl_cli import catalog, engine
    from tl_cli.engine.networks import loading

    start = clocks()
    options = {"image_size": (size, size), "batch_size": BATCH}
    load = keras.utils.image_dataset_from_directory
    train, val = load(
        folder / "train", validation_split=0.2, subset="both", seed=0, verbose=False, **options
    )
    test = load(folder / "test", shuffle=False, verbose=False, **options)
    backbone = loading.load(catalog.get("efficientnet_lite0"), size)
    backbone.model.trainable = freeze != "head"
    cut = 9 if freeze == "half" else len(backbone.blocks)
    frozen = {path for block in backbone.blocks[:cut] for path in block.layers}
    for layer in backbone.layers:
        layer.trainable = layer.path not in frozen
    inputs = keras.Input((size, size, 3))
    x = backbone.model(inputs, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(len(train.class_names), activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    rate = 1e-3 if freeze == "head" else 1e-4
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=engine.jit(),
    )
    model.fit(train.prefetch(2), validation_data=val.prefetch(2), epochs=EPOCHS, verbose=0)
    accuracy = model.evaluate(test, verbose=0)[1]
    return {**since(start), "accuracy": accuracy}


def limit(folder: Path, size: int) -> dict:
    import numpy as np

    from tl_cli import catalog
    from tl_cli.data.scan import scan
    from tl_cli.engine import features
    from tl_cli.engine.networks import loading

    images = features.images(scan(str(folder)).records, size).astype("uint8")
    start = clocks()
    model = loading.load(catalog.get("efficientnet_lite0"), size).model
    for first in range(0, len(images), BATCH):
        batch = images[first : first + BATCH].astype("float32")
        model.predict_on_batch(np.resize(batch, (BATCH, *batch.shape[1:])))
    return {**since(start), "images": len(images)}


def ours(folder: Path, size: int, freeze: str, *more: str) -> dict:
    # the imports are not what is measured
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401
    import sklearn.metrics  # noqa: F401

    import tl_cli.engine.train
    import tl_cli.report  # noqa: F401
    from tl_cli.cli.app import app

    with tempfile.TemporaryDirectory() as work:
        arguments = [
            *("train", "--data", str(folder), "--image-size", str(size), "--freeze", freeze),
            *("--output", f"{work}/run", "--quiet", *more),
        ]
        start, at = clocks(), time.time()
        app(arguments, standalone_mode=False)
        taken = since(start)
        metrics = Path(work, "run", "metrics.json")
        told = json.loads(metrics.read_text())
        result = metrics.stat().st_mtime - at
        history = Path(work, "run", "history.csv")
        epochs = (
            [line.split(",") for line in history.read_text().split()] if history.exists() else []
        )
    return {
        **taken,
        "result": result,
        "accuracy": told["metrics"]["test"]["accuracy"],
        "candidates": told["tune"] and told["tune"]["candidates"],
        "stages": told["seconds"],
        "epoch": min((float(row[1]) for row in epochs[3:]), default=None),
    }


def again(folder: Path, size: int) -> dict:
    ours(folder, size, "head")
    return ours(folder, size, "head", "--head", "last")


def suffix(folder: Path, size: int) -> dict:
    """Train the half-frozen suffix on random arrays in memory: what an epoch must cost at least."""
    import keras
    import numpy as np

    from tl_cli import catalog
    from tl_cli.data.scan import scan
    from tl_cli.data.split import assign_splits
    from tl_cli.engine.finetune.compile import compile_suffix
    from tl_cli.engine.networks import classifier, loading

    split = assign_splits(scan(str(folder)))
    n, classes = len(split.of("train")), split.classes
    backbone = loading.load(catalog.get("efficientnet_lite0"), size)
    built = classifier.build(backbone, classes, backbone.stage_ends)
    taps = tuple(tap for tap in backbone.stage_ends if tap <= 9)
    model = compile_suffix(built, 9, keras.optimizers.AdamW(1e-4, global_clipnorm=1.0), 9, taps)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (n, model.inputs[0].shape[1])).astype("float32")
    y = np.eye(len(classes), dtype="float32")[rng.integers(0, len(classes), n)]
    seen = []
    for _ in range(5):
        start = time.perf_counter()
        model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
        seen.append(time.perf_counter() - start)
    return {"epoch": min(seen)}


def memory() -> dict:
    """20,000 made images of 224 px, the cut's features on disk; the process's own memory."""
    import keras
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as work:
        rng, path = np.random.default_rng(0), Path(work)
        for i in range(20_000):
            folder = path / "data" / f"class{i % 4}"
            folder.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)
            coarse[:, :, i % 3] //= 1 + i % 4
            Image.fromarray(coarse).resize((224, 224)).save(folder / f"{i}.jpg")
        weights = path / "random.weights.h5"
        shape = {"include_top": False, "weights": None, "input_shape": (224, 224, 3)}
        keras.applications.MobileNet(alpha=0.25, **shape).save_weights(weights)
        peak = _Peak()
        told = ours(
            path / "data", 224, "0.3", "--backbone", "mobilenet_025", "--weights", str(weights),
            "--epochs", "2", "--views", "2", "--test", "0.1",
        )  # fmt: skip
        cached = sum(
            f.stat().st_size for f in Path(os.environ["TL_CACHE"]).rglob("*") if f.is_file()
        )
    return {
        "images": 20_000,
        "cache_gb": cached / 1e9,
        "peak_anonymous_gb": peak.stop() / 1e9,
        "peak_resident_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "seconds": told["seconds"],
    }


class _Peak(threading.Thread):
    """The most memory that the process had to itself (mapped files are the system's to drop)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.going = 0, True
        self.start()

    def run(self) -> None:
        while self.going:
            lines = Path("/proc/self/status").read_text().splitlines()
            anonymous = next(line for line in lines if line.startswith("RssAnon"))
            self.most = max(self.most, int(anonymous.split()[1]) * 1024)
            time.sleep(0.2)

    def stop(self) -> int:
        self.going = False
        return self.most


KINDS = {
    "keras head": lambda folder, size: keras_plain(folder, size, "head"),
    "limit": limit,
    "ours head": lambda folder, size: ours(folder, size, "head"),
    "again": again,
    "keras half": lambda folder, size: keras_plain(folder, size, "half"),
    "ours half": lambda folder, size: ours(
        folder, size, "half", "--epochs", str(EPOCHS), "--augment", "none"
    ),
    "suffix": suffix,
}
AT_224 = ("keras head", "limit", "ours head", "again")


# -- all of them ---------------------------------------------------------------------------------


def measured(kind: str, folder: str, size: int) -> dict:
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, folder, "--one", kind, "--size", str(size)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "TL_CACHE": cache}
        )
    if done.returncode:
        raise SystemExit(f"{kind}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: list[dict], clock: str) -> str:
    lines = [
        "| set, px | images | limit | head: result / limit | with the report"
        " | head: Keras 10 epochs / result | test accuracy Keras, ours | second run"
        " | half: Keras / ours"
        " | test accuracy Keras, ours (tuned) | epoch: ours / random arrays |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, size in dict.fromkeys((row["set"], row["size"]) for row in rows):
        of = {row["kind"]: row for row in rows if (row["set"], row["size"]) == (name, size)}
        lines.append(line(name, size, of, clock))
    return "\n".join(lines)


def line(name: str, size: int, of: dict[str, dict], clock: str) -> str:
    keras_head, bare, head = of["keras head"], of["limit"], of["ours head"]
    # CPU time was taken of the whole command, the report with it
    result = head["result" if clock == "seconds" else clock]
    cells = [
        f"{name}, {size}",
        str(bare["images"]),
        f"{bare[clock]:.1f} s",
        f"{result / bare[clock]:.2f}",
        f"{head[clock] / bare[clock]:.2f}",
        f"{keras_head[clock] / result:.1f}",
        f"{keras_head['accuracy']:.3f}, {head['accuracy']:.3f}",
        f"{of['again'][clock]:.1f} s",
    ]
    if "ours half" in of:
        keras_half, half = of["keras half"], of["ours half"]
        cells += [
            f"{keras_half[clock] / half[clock]:.1f}",
            f"{keras_half['accuracy']:.3f}, {half['accuracy']:.3f}",
            f"{half['epoch'] / of['suffix']['epoch']:.2f}",
        ]
    else:
        cells += ["", "", ""]
    return f"| {' | '.join(cells)} |"


def shown(rows: list[dict]) -> None:
    print("By the clock:\n\n" + table(rows, "seconds"))
    print("\nBy CPU time (the last column by the clock):\n\n" + table(rows, "cpu"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("where", nargs="?", default=os.environ.get("TL_SETS"))
    parser.add_argument("--sets", default="sign_digits,flowers")
    parser.add_argument("--sizes", default="128,224")
    parser.add_argument("--out", type=Path, default=Path("docs/data/speed.jsonl"))
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--table", action="store_true", help="Show what --out holds; run nothing.")
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["TL_CACHE"] = cache
            print(json.dumps(memory()))
        return
    if given.table:
        shown([json.loads(text) for text in given.out.read_text().splitlines()])
        return
    if not given.where:
        parser.error("give the folder of sets, or set TL_SETS")
    if given.one:
        print(json.dumps(KINDS[given.one](Path(given.where), given.size)))
        return
    given.out.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for size in map(int, given.sizes.split(",")):
        for name in given.sets.split(","):
            for kind in KINDS if size < 224 else AT_224:
                row = {"set": name, "size": size, "kind": kind}
                rows.append(row | measured(kind, str(Path(given.where) / name), size))
                print(rows[-1], file=sys.stderr, flush=True)
    given.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown(rows)


if __name__ == "__main__":
    main()
