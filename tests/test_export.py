"""`tl export`: each format gives the numbers of `tl predict`, where it runs, or is rejected."""

import errno
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from test_cli import COLOURS, REAL, said, tl
from tl_cli import export_formats
from tl_cli.data.csv_io import read_csv, write_csv
from tl_cli.data.manifest import Record
from tl_cli.engine import features, predict
from tl_cli.engine.export import _answers, check, saved_model
from tl_cli.engine.export.network import Network
from tl_cli.results.export import Equality
from tl_cli.results.progress import silent
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir
from trained import mobilenet_weights, trained

pytestmark = pytest.mark.usefixtures("loaded_once")

ALL = tuple(export_formats.FORMATS)


@pytest.fixture(scope="module")
def data(colours) -> Path:
    return colours


@pytest.fixture(scope="module")
def run(trained_once) -> Path:
    return trained_once("--freeze", "head")


@pytest.fixture(scope="module")
def tuned(trained_once) -> Path:
    """A head that joins several depths, on a small network that was tuned as a whole."""
    return trained_once("--freeze", "full", "--head", "multi", "--learning-rate", "1e-4")


# -- each format, opened as whoever gets the file would --------------------------------------------


@dataclass
class Opened:
    """What a file says of images, its outputs in their order; and what it tells of itself."""

    outputs: Sequence[np.ndarray]
    classes: list[str]
    threshold: str


def with_tensorflow(path: Path, images: np.ndarray) -> Opened:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    found = loaded.signatures["serving_default"](image=tf.constant(images))
    extra = path / "assets.extra"
    names = (extra / "labels.txt").read_text().splitlines()
    outputs = [found[name].numpy() for name in ("probabilities", "unknown_score")]
    return Opened(outputs, names, (extra / "unknown_threshold.txt").read_text())


def with_onnxruntime(path: Path, images: np.ndarray) -> Opened:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    outputs = session.run(None, {"image": images})
    return Opened(outputs, json.loads(told["classes"]), told["unknown_threshold"])


def with_litert(path: Path, images: np.ndarray) -> Opened:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    [first, second] = interpreter.get_output_details()
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(each["index"]) for each in (first, second)]
    held = zipfile.ZipFile(path)
    names = held.read("labels.txt").decode().splitlines()
    return Opened(outputs, names, held.read("unknown_threshold.txt").decode())


def with_openvino(path: Path, images: np.ndarray) -> Opened:
    import openvino

    model = openvino.Core().read_model(path)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({"image": images})
    told = {key: model.get_rt_info(key).astype(str) for key in ("classes", "unknown_threshold")}
    return Opened([found[0], found[1]], json.loads(told["classes"]), told["unknown_threshold"])


def with_keras(path: Path, images: np.ndarray) -> Opened:
    """As whoever has Keras and not this package: in an interpreter that cannot import it."""
    told = json.loads(path.with_name(f"{path.name}.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", images)
        subprocess.run([sys.executable, "-c", WITHOUT_US, path, folder], check=True)
        outputs = [np.load(f"{folder}/{name}.npy") for name in ("probabilities", "unknown_score")]
    return Opened(outputs, told["classes"], str(told["unknown_threshold"]))


WITHOUT_US = """
import sys
sys.modules["tl_cli"] = None
import keras, numpy as np
path, folder = sys.argv[1:]
found = keras.saving.load_model(path).predict(np.load(f"{folder}/x.npy"), verbose=0)
assert list(found) == ["probabilities", "unknown_score"]
for name, values in found.items():
    np.save(f"{folder}/{name}.npy", values)
"""


OPEN = {
    "keras": with_keras,
    "saved_model": with_tensorflow,
    "onnx": with_onnxruntime,
    "litert": with_litert,
    "openvino": with_openvino,
}


def exported(run: Path, *options: object) -> dict:
    """Export, and return what was told of it."""
    done = tl("export", run, *options, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def expect_the_numbers_of_predict(run: Path, told: dict, tolerance: float) -> None:
    """Open the exported file, give it the odd test images too, and compare with `tl predict`."""
    records = read_csv(run / run_dir.MANIFEST).of("test")
    assert sum("odd" in r.path for r in records) == 18
    images = features.images(records, 32).astype("float32")
    opened = OPEN[told["format"]](Path(told["path"]), images)
    found, scores = opened.outputs
    assert (names := opened.classes) == told["classes"] == sorted(COLOURS)
    assert float(opened.threshold) == told["unknown_threshold"] == 1.0
    answers = tl("predict", run, *(r.path for r in records), "--top-k", 3, "--format", "jsonl")
    for p, score, text in zip(found, scores, answers.stdout.splitlines(), strict=True):
        line = json.loads(text)
        assert score == pytest.approx(line["unknown_score"], rel=10 * tolerance)
        predicted = {g["label"]: g["probability"] for g in line["top"]}
        assert dict(zip(names, p.tolist(), strict=True)) == pytest.approx(predicted, abs=tolerance)


def test_a_saved_model_gives_the_numbers_of_predict(run):
    check_an_export(run, "saved_model")


@pytest.mark.long
@pytest.mark.parametrize("form", ALL)
def test_an_exported_file_gives_the_numbers_of_predict(tuned, form):
    check_an_export(tuned, form)


def check_an_export(run: Path, form: str) -> None:
    told = exported(run, "--format", form)
    expect_the_numbers_of_predict(run, told, 1e-4)
    equality = told["equality"]
    assert equality["images"] == 18
    assert equality["difference"] <= equality["allowed_difference"] == 1e-4
    assert equality["agreement"] == 1.0
    assert 0 <= equality["unknown_difference"] <= equality["allowed_unknown_difference"] == 1e-3
    assert told["outputs"] == ["probabilities", "unknown_score"]
    place = Path(told["path"])
    assert place.parent == run / "export"
    assert json.loads((run / "export" / f"{place.name}.json").read_text()) == told
    assert told["bytes"] > 0.5 * (run / run_dir.WEIGHTS).stat().st_size
    assert not any(p.name.startswith(".") for p in place.parent.iterdir())


def test_a_saved_model_takes_images_of_any_size_and_encoded_ones(run, data):
    import tensorflow as tf

    told = json.loads((run / "export" / "saved_model.json").read_text())
    assert told["encoded"]["images"] == 18
    assert told["encoded"]["difference"] < 0.02
    signatures = tf.saved_model.load(told["path"]).signatures
    red = np.full((2, 70, 50, 3), COLOURS["red"], "float32")
    squashed = signatures["serving_default"](image=tf.constant(red))["probabilities"].numpy()
    small = signatures["serving_default"](image=tf.constant(red[:, :32, :32]))
    assert squashed == pytest.approx(small["probabilities"].numpy(), abs=1e-5)


@pytest.mark.slow  # real weights: random ones make much of the little that decoders differ in
def test_a_saved_model_opens_odd_images_as_we_do(data, tmp_path):
    import tensorflow as tf

    run = trained(data, tmp_path / "run", "--freeze", "head", *REAL)
    encoded = tf.saved_model.load(exported(run, "--format", "saved_model")["path"]).signatures
    odd = data / "test" / "red" / "odd"
    paths = [odd / name for name in ("grey.png", "alpha.png", "cmyk.jpg")]
    files = tf.constant([path.read_bytes() for path in paths])
    found = encoded["encoded"](files=files)["probabilities"].numpy()
    built = predict.load_checkpoint(RunDir(run))
    records = [Record(str(path), "red") for path in paths]
    assert found == pytest.approx(predict.probabilities(built, records, silent), abs=0.03)


@pytest.mark.slow
def test_quantized_files_are_smaller_and_held_to_their_own_measure(tuned, monkeypatch):
    run = tuned
    monkeypatch.setattr(check, "CALIBRATION", 12)
    half = exported(run, "--format", "onnx", "--quantize", "float16")
    assert "threshold is of features that are not rounded" in half["unknown_left_out"]
    assert half["outputs"] == ["probabilities"]
    forced = ("--format", "onnx", "--quantize", "float16", "--unknown", "--overwrite")
    said(tl("export", run, *forced), "not rounded", "leave out --unknown")
    assert half["equality"]["allowed_difference"] == 2e-2
    assert 1e-7 < half["equality"]["difference"] <= 2e-2
    done = tl("export", run, "--format", "onnx", "--quantize", "int8", "--json")
    told = json.loads(done.stdout)
    assert told["equality"]["allowed_difference"] is None
    assert (done.exit_code == 0) == (told["equality"]["agreement"] >= 0.98)
    whole = (run / run_dir.WEIGHTS).stat().st_size
    assert half["bytes"] < 0.6 * whole
    assert told["bytes"] < 0.4 * whole


# -- all that may be trained -----------------------------------------------------------------------


COMBINATIONS = {
    "lite0, last": ("--freeze", "head", "--head", "last"),
    "lite0, multi": ("--freeze", "head", "--head", "multi"),
    "lite0, tuned": ("--freeze", "half", "--head", "last"),
    "lite0, tuned in bfloat16": ("--freeze", "full", "--precision", "mixed_bfloat16"),
    "lite0, tuned in float16": ("--freeze", "half", "--precision", "mixed_float16"),
    "mobilenet, last": ("mobilenet", "--freeze", "head", "--head", "last"),
    "mobilenet, multi": ("mobilenet", "--freeze", "head", "--head", "multi"),
    "mobilenet, tuned": ("mobilenet", "--freeze", "full", "--head", "multi"),
    "mobilenet, tuned in bfloat16": (
        "mobilenet", "--freeze", "half", "--precision", "mixed_bfloat16"
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=COMBINATIONS)
def any_run(request, data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("any")
    options = COMBINATIONS[request.param]
    if options[0] == "mobilenet":
        weights = mobilenet_weights(folder / "random.weights.h5")
        options = ("--backbone", "mobilenet_025", "--weights", weights, *options[1:])
    else:
        options = (*REAL, *options)
    return trained(data, folder / "run", *options)


@pytest.mark.slow
@pytest.mark.parametrize("form", ALL)
def test_every_combination_is_exported_equal(any_run, form):
    told = exported(any_run, "--format", form, "--overwrite")
    assert told["equality"]["difference"] <= 1e-4
    mixed = told["trained_in"] != "float32"
    expect_the_numbers_of_predict(any_run, told, 0.05 if mixed else 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "litert", "openvino"])
def test_float16_is_half_as_large_and_nearly_equal_or_is_rejected(any_run, form):
    whole = exported(any_run, "--format", form, "--overwrite")
    done = tl("export", any_run, "--format", form, "--quantize", "float16", "--overwrite", "--json")
    half = json.loads(done.stdout)
    assert half["bytes"] < 0.75 * whole["bytes"]
    assert half["equality"]["allowed_difference"] == 2e-2
    # a head on random features may need more digits than float16 has
    assert (done.exit_code == 0) == half["passed"] == (half["equality"]["difference"] <= 2e-2)
    assert half["passed"] or "mobilenet" in (any_run / run_dir.CHECKPOINT).read_text()
    assert Path(half["path"]).name.startswith("model-float16")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "litert", "openvino"])
def test_int8_is_a_quarter_as_large_and_says_the_same_or_is_rejected(any_run, form):
    done = tl("export", any_run, "--format", form, "--quantize", "int8", "--overwrite", "--json")
    told = json.loads(done.stdout)
    assert told["equality"]["least_agreement"] == 0.98
    assert (done.exit_code == 0) == told["passed"] == (told["equality"]["agreement"] >= 0.98)
    ending = ".rejected" if done.exit_code else export_formats.FORMATS[form].ending
    assert Path(told["path"]).suffix == ending
    assert ("float16 loses less" in done.stderr) == bool(done.exit_code)
    assert told["bytes"] < 0.8 * (any_run / run_dir.WEIGHTS).stat().st_size


# -- a file that is not the same -------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Have a SavedModel written and run in no time, right or wrong."""

    class Quick:
        wrong_by: ClassVar = {"probabilities": 0.0, "unknown_score": 0.0}
        writing = None

    def write(network: Network, path: Path) -> None:
        Quick.network = network
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"x")
        if Quick.writing:
            raise Quick.writing

    def runtime(path: Path):
        def run(images: np.ndarray) -> dict[str, np.ndarray]:
            said = _answers(Quick.network, images)
            return {name: values + Quick.wrong_by[name] for name, values in said.items()}

        return run

    monkeypatch.setattr(saved_model, "write", write)
    monkeypatch.setattr(saved_model, "runtime", runtime)
    nothing = {"probabilities": np.zeros((1, 3)), "unknown_score": np.zeros(1)}
    monkeypatch.setattr(saved_model, "encoded", lambda path: lambda files: nothing)
    return Quick


def test_a_file_that_differs_is_rejected_and_kept_aside(run, quick, tmp_path, monkeypatch):
    monkeypatch.setitem(quick.wrong_by, "probabilities", 0.001)
    place = tmp_path / "flowers"
    done = tl("export", run, "--format", "saved_model", "--output", place)
    said(done, "a probability differs by 0.001, and 0.0001 is allowed", "flowers.rejected")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "flowers.rejected", "flowers.rejected.json"
    ]  # fmt: skip
    told = json.loads((tmp_path / "flowers.rejected.json").read_text())
    assert not told["passed"]
    assert told["path"] == str(place) + ".rejected"


def test_a_file_of_other_scores_is_rejected_and_one_without_them_can_be_asked_for(
    run, quick, tmp_path, monkeypatch
):
    monkeypatch.setitem(quick.wrong_by, "unknown_score", 0.02)
    export = ("export", run, "--format", "saved_model", "--output")
    said(tl(*export, tmp_path / "off"), "a score for unknown images differs by 0.0", "0.001 is")
    done = tl(*export, tmp_path / "lone", "--no-unknown", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["outputs"]) == (0, ["probabilities"])
    assert told["unknown_threshold"] is told["unknown_left_out"] is None
    assert told["equality"]["unknown_difference"] is None
    assert "unknown" not in told["usage"] + Path(told["card"]).read_text().split("## Limits")[0]


def test_an_output_that_is_there_is_replaced_only_on_request(run, quick, tmp_path):
    place = tmp_path / "flowers"
    place.mkdir()
    for name in ("saved_model.pb", "fingerprint.pb"):
        (place / name).write_text("old")
    export = ("export", run, "--format", "saved_model", "--output", place)
    said(tl(*export), "is there already", "--overwrite")
    quick.writing = OSError(errno.ENOSPC, "No space left on device")
    said(tl(*export, "--overwrite"), "the disk is full", "flowers")
    assert (place / "saved_model.pb").read_text() == "old"
    quick.writing = RuntimeError("cannot write: No space left on device; [Op:SaveV2]")
    said(tl(*export, "--overwrite"), "the disk is full", "flowers")
    assert [p.name for p in tmp_path.iterdir()] == ["flowers"]
    quick.writing = None
    assert tl(*export, "--overwrite").exit_code == 0
    assert [p.name for p in place.iterdir()] == ["saved_model.pb"]


def test_the_benchmark_tells_milliseconds_by_batch_size(run, quick, tmp_path):
    done = tl("export", run, "--format", "saved_model", "--output", tmp_path / "x", "--benchmark")
    assert done.exit_code == 0, done.stderr
    assert "ms an image, one at a time" in done.stdout
    slow = check.milliseconds(lambda images: __import__("time").sleep(0.032), np.zeros((3, 1)))
    assert slow[1] == pytest.approx(32, rel=0.5)
    assert slow[32] == pytest.approx(1, rel=0.5)


@pytest.mark.parametrize(
    ("figures", "passed"),
    [
        ((0.9e-4, 1.0, 1e-4, None), True),
        ((1.1e-4, 1.0, 1e-4, None), False),
        ((float("nan"), 1.0, 1e-4, None), False),
        ((0.3, 0.98, None, 0.98), True),
        ((0.3, 0.97, None, 0.98), False),
        ((0.3, 0.97, None, None), True),
    ],
)
def test_the_verdict(figures, passed):
    found = Equality(64, *figures)
    assert found.passed == passed
    assert len(found.reasons) == (not passed)


def test_the_worst_of_all_batch_sizes_counts():
    images, seen = np.zeros((7, 4, 4, 3), "float32"), []

    def runtime(batch):
        seen.append(len(batch))
        first = [0.6, 0.4] if len(batch) == 1 else [0.4, 0.6]
        return {"probabilities": np.tile(first, (len(batch), 1))}

    want = {"probabilities": np.tile([0.6, 0.4], (7, 1))}
    found = check.compare(want, runtime, images, None)
    assert seen == [1] * 7 + [5, 2]
    assert found.difference == pytest.approx(0.2)
    assert found.agreement == 0.0


# -- what it is checked on, and mistakes -----------------------------------------------------------


def test_images_are_chosen_evenly_from_those_that_are_there(run):
    records = read_csv(run / run_dir.MANIFEST).of("val")
    split, chosen = check.chosen(RunDir(run), "val", 6, 32)
    assert (split, len(chosen)) == ("val", 6)
    assert [sum(r.label == name for r in chosen) for name in sorted(COLOURS)] == [2, 2, 2]
    assert check.chosen(RunDir(run), "val", 64, 32) == ("val", list(records))


def test_without_any_image_a_run_is_not_exported(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    manifest = read_csv(copy / run_dir.MANIFEST)
    gone = [replace(r, path=f"{r.path}.gone", digest="0" * 32) for r in manifest.records]
    write_csv(manifest.with_records(gone), copy / run_dir.MANIFEST)
    done = tl("export", copy, "--format", "saved_model", "--overwrite")
    said(done, "none is as it was", "--data DIR")


def test_class_names_of_any_kind_are_one_a_line():
    built = SimpleNamespace(
        classes=("a\nb", "<b>&\"'", "猫 ✿"), backbone=SimpleNamespace(image_size=4)
    )
    network = Network(built, None, None)
    assert network.labels == "a b\n<b>&\"'\n猫 ✿\n"
    assert json.loads(network.facts["classes"]) == ["a\nb", "<b>&\"'", "猫 ✿"]


def test_mistakes_are_one_sentence(run, tmp_path, monkeypatch):
    said(tl("export", run, "--format", "onx"), "did you mean 'onnx'?")
    said(tl("export", run, "--format", "onnx", "--quantize", "int4"), "float16, int8")
    said(tl("export", run, "--format", "saved_model", "--quantize", "int8"), "no int8 form", "onnx")
    said(tl("export", run, "--format", "onnx", "--output", "x.tflite"), "end with .onnx", "x.onnx")
    said(tl("export", tmp_path, "--format", "onnx"), "holds no checkpoint.json")
    (tmp_path / "file").write_text("")
    said(
        tl("export", run, "--format", "onnx", "--output", tmp_path / "file" / "x.onnx"),
        "cannot write",
    )
    said(
        tl("export", run, "--format", "saved_model", "--output", tmp_path / "file", "--overwrite"),
        "is not SavedModel",
    )


@pytest.mark.parametrize("form", ["onnx", "litert", "openvino"])
def test_a_missing_extra_is_one_sentence_with_the_command(run, form, monkeypatch):
    gone = export_formats.FORMATS[form].needs[-1]
    whole = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == gone else whole(name)
    )
    said(tl("export", run, "--format", form), "not installed", f"pip install 'tl-cli[{form}]'")


def test_the_extras_bring_what_the_formats_need():
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    for row in export_formats.FORMATS.values():
        brought = {line.split(">")[0].replace("-", "_") for line in extras.get(row.name, [])}
        assert brought == set(row.needs)


def test_a_disk_without_room_is_told_before(run, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    said(tl("export", run, "--format", "saved_model", "--output", tmp_path / "x"), "0 MB are free")
