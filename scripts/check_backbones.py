"""Takes every backbone through all that is done with one, on random weights and small images.

    python scripts/check_backbones.py [NAME ...] [--out FILE.jsonl] [--docs] [--again]

Built, cut, a head solved on one pass, the half behind a cut tuned for a step (what is frozen
compared bit by bit), saved, reloaded, exported as SavedModel and ONNX and run there, explained, and
its plain model.keras opened where neither this package nor KerasHub can be imported. The smallest
networks first, a few a process. One JSON line a network is appended to --out, and a network that
stands there is not taken again (--again: those that failed are). --docs writes the table of
docs/backbones.md from the lines. What is wrong with a network is a line too, and the exit code is
1.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pages

ROOT = Path(__file__).parent.parent
OUT = ROOT / "docs" / "data" / "backbones_check.jsonl"
LEAST = 64  # pixels, or what the network takes at least
IMAGES, CLASSES = 9, ("a", "b", "c")
ALLOWED = 1e-3  # of a probability, between a network and itself elsewhere
LONGEST = 900  # seconds for one network
AT_ONCE = 3  # networks a process: it takes longer to start than a small network takes
COLUMNS = (
    "network", "px", "blocks", "cut at", "frozen, bit-equal", "tuned", "reloaded", "SavedModel",
    "ONNX", "plain .keras", "s",
)  # fmt: skip
PLAIN = """
import sys
from pathlib import Path
for name in ("tl_cli", "keras_hub"):
    sys.modules[name] = None
import keras, numpy
for folder in map(Path, sys.argv[1:]):
    try:
        model = keras.models.load_model(folder / "run" / "model.keras")
        numpy.save(folder / "plain.npy", model(numpy.load(folder / "x.npy"), training=False))
    except Exception as error:
        (folder / "plain.txt").write_text(str(error))
"""


def check(name: str, work: Path) -> dict:
    """Take one network through everything but the plain file; raise where something is wrong."""
    import keras
    import numpy as np

    from tl_cli import catalog
    from tl_cli.engine import explain
    from tl_cli.engine.export import _hushed, onnx, saved_model
    from tl_cli.engine.export.network import Network
    from tl_cli.engine.networks import classifier, loading
    from tl_cli.plan.blocks import nearest_cut
    from tl_cli.store.run_dir import RunDir

    start = time.perf_counter()
    keras.utils.set_random_seed(0)
    card = catalog.get(name)
    size = max(LEAST, card.smallest)
    backbone = loading.load(card, size, weights=None)
    built = classifier.build(backbone, CLASSES, backbone.stage_ends)
    labels = np.arange(IMAGES) % len(CLASSES)
    x = pictures(labels, size)
    solve(built, x, labels)
    # one that can be cut nowhere, but before its last layers, is tuned whole
    cut = nearest_cut(backbone.blocks, 0.5) % len(backbone.blocks)
    frozen, tuned = tune(built, cut, x, labels)
    answers = np.asarray(built.model(x, training=False))
    assert np.isfinite(answers).all(), "its answers are not numbers"

    run = RunDir.create(work / "run")
    built.save(run, precision="float32")
    again, _ = classifier.load(run)
    network = Network(again, None, run)
    heat = explain.opened(again).maps(x[:2], labels[:2])
    assert np.isfinite(heat).all(), "its map is not of numbers"
    found = {"reloaded": np.asarray(again.model(x, training=False))}
    with _hushed():
        for module in (saved_model, onnx):
            path = work / module.__name__.rsplit(".", 1)[-1]
            module.write(network, path)
            found[path.name] = module.runtime(path)(x)["probabilities"]
    gaps = {form: float(np.abs(said - answers).max()) for form, said in found.items()}
    for form, gap in gaps.items():
        assert gap < ALLOWED, f"{form} answers otherwise by {gap:.2g}"
    np.save(work / "x.npy", x)
    np.save(work / "y.npy", answers)
    return {
        "source": card.source, "image_size": size, "blocks": len(backbone.blocks), "cut": cut,
        "frozen": frozen, "tuned": tuned, **gaps, "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def pictures(labels, size: int):
    """Return float32 [n, size, size, 3] in 0..255: noise around a colour a class."""
    import numpy as np

    colours = np.array([(60, 70, 190), (60, 180, 70), (190, 60, 70)], "float32")
    noise = np.random.default_rng(0).normal(0, 50, (len(labels), size, size, 3))
    return np.clip(colours[labels][:, None, None] + noise, 0, 255).astype("float32")


def solve(built, x, labels) -> None:
    """Put a ridge head in place, on what the folded network makes of the images in one pass."""
    import numpy as np

    rows = built.pooled_model(0, (), built.taps)(x, training=False)
    rows = np.asarray(rows, "float64")
    centre = rows.mean(0)
    rows = rows - centre
    kernel = rows @ rows.T
    kernel += np.eye(len(rows)) * (1e-6 + 1e-3 * np.trace(kernel) / len(rows))
    weights = rows.T @ np.linalg.solve(kernel, np.eye(len(CLASSES))[labels] - 1 / len(CLASSES))
    built.set_head(weights, -centre @ weights)


def tune(built, cut: int, x, labels) -> tuple[int, int]:
    """Train a step what lies behind the cut; return how many weights are frozen, how many moved."""
    import keras
    import numpy as np

    weights = built.backbone.model.weights
    before = [weight.numpy() for weight in weights]
    built.freeze_up_to(cut)
    built.model.compile(keras.optimizers.AdamW(1e-3), "categorical_crossentropy", jit_compile=False)
    built.model.train_on_batch(x, np.eye(len(CLASSES))[labels])
    frozen_layers = {path for block in built.backbone.blocks[:cut] for path in block.layers}
    frozen = {
        id(w) for layer in built.backbone.layers for w in layer.weights
        if layer.path in frozen_layers
    }  # fmt: skip
    moved = 0
    for weight, value in zip(weights, before, strict=True):
        same = np.array_equal(weight.numpy(), value)
        assert same or id(weight) not in frozen, f"{weight.path} is frozen and has changed"
        moved += not same
    assert moved, "nothing was tuned"
    return len(frozen), moved


def plain(folders: dict[str, Path]) -> dict[str, float | str]:
    """Return by name how far the plain file's answers are from the network's, or what was said."""
    import numpy as np

    command = [sys.executable, "-c", PLAIN, *map(str, folders.values())]
    done = subprocess.run(command, cwd=tempfile.gettempdir(), capture_output=True, text=True)
    found: dict[str, float | str] = {}
    for name, folder in folders.items():
        if (folder / "plain.npy").exists():
            gap = np.abs(np.load(folder / "plain.npy") - np.load(folder / "y.npy")).max()
            found[name] = float(gap)
        else:
            text = folder / "plain.txt"
            found[name] = text.read_text() if text.exists() else done.stderr[-300:]
    return found


def several(names: list[str]) -> None:
    """Check networks in this process and print a line each."""
    import gc

    import keras

    from tl_cli import engine

    engine.prepare("float32", 0)
    rows: dict[str, dict] = {}
    folders: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            work = Path(root) / str(len(rows))
            work.mkdir()
            try:
                rows[name] = {"ok": True, **check(name, work)}
                folders[name] = work
            except Exception as error:
                rows[name] = {"ok": False, "error": " ".join(str(error).split())[:300]}
            keras.backend.clear_session()
            gc.collect()
        for name, gap in plain(folders).items():
            rows[name]["plain"] = gap
            if not (isinstance(gap, float) and gap < ALLOWED):
                said = " ".join(str(gap).split())[:300]
                rows[name] |= {"ok": False, "error": f"plain model.keras: {said}"}
    for name, row in rows.items():
        print(json.dumps({"backbone": name, **row}))


def in_a_process(names: list[str]) -> Iterator[dict]:
    """Yield a row a network; where the process dies of one, the others are taken alone."""
    command = [sys.executable, __file__, "--here", *names]
    said = "took too long"
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST * len(names))
        killed = done.returncode < 0
        said = f"ended by signal {-done.returncode}" if killed else done.stderr[-300:]
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if len(rows) == len(names):
            yield from rows
            return
    if len(names) == 1:
        yield {"backbone": names[0], "ok": False, "error": said}
        return
    for name in names:
        yield from in_a_process([name])


def table(rows: dict[str, dict]) -> list[str]:
    """One line a network, in the order of the catalogue."""
    from tl_cli import catalog

    good = [row for row in rows.values() if row["ok"]]
    lines = [
        f"{len(good)} of {len(rows)} networks pass, at {LEAST} px or the least that they take.\n",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    order = list(catalog.CARDS)
    for name in sorted(rows, key=lambda n: order.index(n) if n in order else len(order)):
        row = rows[name]
        if not row["ok"]:
            lines.append(f"| {name} |{' |' * (len(COLUMNS) - 2)} {row['error']} |")
            continue
        counts = (row[key] for key in ("image_size", "blocks", "cut", "frozen", "tuned"))
        gaps = (f"{row[key]:.0e}" for key in ("reloaded", "saved_model", "onnx", "plain"))
        cells = " | ".join([*map(str, counts), *gaps, f"{row['seconds']:.0f}"])
        lines.append(f"| {name} | {cells} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--docs", action="store_true", help="Write docs/backbones.md; run nothing.")
    parser.add_argument("--again", action="store_true", help="Take those that failed once more.")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        several(given.names)
        return 0
    from tl_cli import catalog

    lines = given.out.read_text().splitlines() if given.out.exists() else []
    rows = {row["backbone"]: row for row in map(json.loads, lines)}
    kept = {name for name, row in rows.items() if row["ok"] or not given.again}
    names = given.names or sorted(catalog.CARDS, key=lambda n: catalog.get(n).multiply_adds)
    todo = [] if given.docs else [name for name in names if name not in kept]
    for start in range(0, len(todo), AT_ONCE):
        for row in in_a_process(todo[start : start + AT_ONCE]):
            rows[row["backbone"]] = row
            with given.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{row['backbone']}: {'passes' if row['ok'] else row['error']}", flush=True)
    if given.docs:
        pages.put("backbones.md", "checked", table(rows))
    return int(not all(row["ok"] for row in rows.values()))


if __name__ == "__main__":
    raise SystemExit(main())
