"""`import tl_cli as tl`: what the commands say, to the last bit, and nothing printed."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import typing
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

import small_network
import tl_cli
import tl_cli as tl
from conftest import picture
from test_cli import COLOURS, paint, said
from test_cli import SMALL as FLAGS
from test_cli import tl as command
from test_trackers import curves
from tl_cli.api_options import Options
from tl_cli.api_session import settings_of
from tl_cli.config import RunConfig, option
from tl_cli.report import page
from tl_cli.results.progress import Progress
from tl_cli.store import run_dir

pytestmark = pytest.mark.usefixtures("loaded_once")

TUNED = {"freeze": 0.9, "epochs": 1}
NETWORK = {"backbone": small_network.SMALL.name, "image_size": 32, "batch_size": 8}
SMALL = {**NETWORK, **TUNED, "report": False}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("api") / "photos"
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "train" / name, seed, 12, colour)
        paint(root / "test" / name, seed + 10, 4, colour)
    return root


@pytest.fixture(scope="module")
def trained(photos) -> tl.TrainingResult:
    """A run trained from Python, and tracked."""
    random.seed(5)
    drawn, numpys = random.getstate(), np.random.get_state()[1].tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TL_CACHE", str(photos.parent / "cache"))
        result = tl.train(photos, output=photos.parent / "by python", track="tensorboard", **SMALL)
    assert random.getstate() == drawn
    assert np.random.get_state()[1].tolist() == numpys
    return result


@pytest.fixture(scope="module")
def files(photos, tmp_path_factory) -> list[Path]:
    """Images as they are elsewhere: turned, large, transparent."""
    folder = tmp_path_factory.mktemp("elsewhere")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, (300, 200)).save(folder / "turned.jpg", exif=exif)
    clear = picture(2, (50, 70))
    clear.putalpha(picture(3, (50, 70)).convert("L"))
    clear.save(folder / "clear.png")
    return [*sorted(folder.iterdir()), *sorted((photos / "test" / "red").iterdir())]


# -- the same as the commands ----------------------------------------------------------------------


@pytest.mark.long
def test_training_gives_what_the_command_gives_to_the_last_bit(photos, trained):
    run = photos.parent / "by command"
    options = [word for key, value in TUNED.items() for word in (f"--{key}", value)]
    done = command("train", "--data", photos, *FLAGS, *options, "--output", run, "--json")
    told, ours = json.loads(done.stdout), json.loads(json.dumps(trained.to_json()))
    assert set(told) == set(ours)
    for varying in ("seconds", "peak_memory", "run"):
        told.pop(varying), ours.pop(varying)
    assert ours == told
    held_out = [np.load(folder / run_dir.HELD_OUT) for folder in (run, trained.run)]
    assert np.array_equal(*held_out)


def test_a_training_that_is_tracked_tells_its_epochs_and_figures(trained):
    found = curves(trained.run / run_dir.TENSORBOARD)
    assert float(found["test/accuracy"][0]) == pytest.approx(trained.accuracy)
    assert set(found["epoch/val_log_loss"]) == {0, 1}
    assert not (trained.run / "resume").exists()


def test_what_a_training_returns(photos, trained):
    assert trained.run == photos.parent / "by python"
    assert set(trained.figures) == {"val", "test"}
    assert trained.accuracy == trained.figures["test"].accuracy
    assert trained.plan.strategy == "partial"
    assert trained.report is None
    assert trained.model.classes == tuple(sorted(COLOURS))
    assert trained.model.image_size == 32
    assert "3 classes, 32 px" in repr(trained.model)


def test_prediction_gives_what_the_command_gives(trained, files):
    done = command("predict", trained.run, *files, "--top-k", 3, "--format", "jsonl")
    found = tl.load(trained.run).predict(files, top_k=3)
    assert len(found) == len(files) == len(done.stdout.splitlines())
    for line, row, path in zip(done.stdout.splitlines(), found, files, strict=True):
        wanted = json.loads(line)
        assert (row.path, row.label) == (str(path), wanted["label"])
        assert round(row.probability, 6) == wanted["probability"]
        assert [(g.label, round(g.probability, 6)) for g in row.top] == [
            (g["label"], g["probability"]) for g in wanted["top"]
        ]
        assert list(row.probabilities) == sorted(COLOURS)
        assert max(row.probabilities.values()) == row.probability == tuple(row)[1]
    assert found.labels == [label for label, _ in found]
    assert found.probabilities.dtype == np.float32
    again = trained.model.predict(files)
    assert np.array_equal(again.probabilities, found.probabilities)


@pytest.mark.long
def test_evaluation_gives_what_the_command_gives(trained, photos):
    flags = ("--data", photos, "--split", "all", "--slice", "mode", "--json")
    wanted = json.loads(command("evaluate", trained.run, *flags).stdout)
    assert wanted.pop("pictures") == []
    found = trained.model.evaluate(photos, split="all", slice="mode")
    assert json.loads(json.dumps(found.to_json())) == wanted
    assert found.accuracy == wanted["accuracy"]
    assert list(found.interval) == wanted["intervals"]["accuracy"]


def test_advice_is_what_the_command_gives():
    plan = tl.recommend_freeze(size=500, classes=5, similarity="low")
    flags = ("--size", 500, "--classes", 5, "--similarity", "low", "--json")
    assert plan.to_json() == json.loads(command("recommend-freeze", *flags).stdout)


@pytest.mark.slow  # the same road as the command's own test takes
def test_advice_on_images_is_what_the_command_gives(photos):
    looked = tl.recommend_freeze(photos)
    wanted = json.loads(command("recommend-freeze", "--data", photos, "--json").stdout)
    ours = json.loads(json.dumps(looked.to_json()))
    assert ours == {key: wanted[key] for key in ours}


# -- images of all kinds ---------------------------------------------------------------------------


def test_paths_pictures_and_arrays(trained, files):
    model, path = trained.model, next(f for f in files if f.name == "turned.jpg")
    [wanted] = model.predict(str(files[-1]))
    with Image.open(files[-1]) as opened:
        array = np.asarray(opened)
        for given in (files[-1], [files[-1]], opened, array, array[None], [array]):
            [found] = model.predict(given)
            assert found.probabilities == wanted.probabilities
    large = Image.open(io.BytesIO(path.read_bytes()))
    [turned] = model.predict(large)
    assert turned.probabilities == model.predict(path)[0].probabilities
    assert turned.path == ""
    assert np.asarray(large).shape == (200, 300, 3)  # it is the caller's own, and as it was
    grey = model.predict([np.full((9, 5), 80, "uint8"), np.full((9, 5, 3), 80, "uint8")])
    assert grey[0].probabilities == grey[1].probabilities
    assert len(model.predict(files[-1].parent)) == 4
    assert len(model.predict([])) == 0


def test_an_image_that_cannot_be_opened_raises_or_is_kept(trained, files, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"x" * 50)
    given = [files[0], tmp_path / "broken.jpg"]
    with pytest.raises(tl.TLError, match=r"broken\.jpg.* is"):
        trained.model.predict(given)
    good, bad = trained.model.predict(given, errors="keep")
    assert good.label and not good.error
    assert (bad.label, bad.top, bad.probabilities) == ("", (), {})
    assert bad.error and np.isnan(bad.probability)
    least = trained.model.predict(files, min_confidence=1.0, unknown=False)
    assert {row.label for row in least if row.probability < 1} <= {"unsure"}


# -- mistakes --------------------------------------------------------------------------------------


def test_mistakes_are_errors_of_tl_with_the_nearest_name(trained, photos, files):
    model = trained.model
    calls = {
        "did you mean 'epochs'": lambda: tl.train(photos, epoch=3),
        "2 mistakes": lambda: tl.train(photos, epoch=3, freeze="hlaf"),
        "did you mean 'top_k'": lambda: model.predict(files, topk=3),
        "did you mean 'split'": lambda: model.evaluate(splt="test"),
        "did you mean 'test'": lambda: model.evaluate(split="tets"),
        "did you mean 'keep'": lambda: model.predict(files, errors="kep"),
        "did you mean 'similarity'": lambda: tl.recommend_freeze(photos, similarty="low"),
        "top_k and batch_size": lambda: model.predict(files, top_k=0),
        "is no image": lambda: model.predict(np.zeros((4, 4, 3))),
        "cannot be a float": lambda: model.predict([0.5]),
        "no file or folder": lambda: model.predict("nope.jpg"),
        "no checkpoint": lambda: tl.load("no/such/run"),
        "size and classes": lambda: tl.recommend_freeze(),
        "holds a run already": lambda: tl.train(photos, output=trained.run),
    }
    for text, call in calls.items():
        with pytest.raises(tl.TLError) as raised:
            call()
        assert text in f"{raised.value} {raised.value.hint}"


def test_a_full_disk_is_an_error_of_tl(trained, monkeypatch):
    from tl_cli.engine import predict

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(predict, "load_checkpoint", full)
    with pytest.raises(tl.TLError, match="the disk is full"):
        tl.load(trained.run)


def test_the_precision_of_keras_is_put_back(trained, files):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        trained.model.predict(files[0])
        tl.load(trained.run)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


# -- what it costs, prints and is typed as ---------------------------------------------------------


def test_the_import_brings_nothing():
    code = "import sys; before = {*sys.modules}; import tl_cli; print(*({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"tl_cli", "__future__"}


def test_errors_and_mistakes_load_no_framework():
    code = (
        "import sys, tl_cli as tl\n"
        "try: tl.load('no/such/run')\n"
        "except tl.TLError: pass\n"
        "try: tl.train('x', epoch=1)\n"
        "except tl.TLError: pass\n"
        "tl.recommend_freeze(size=500, classes=5, similarity='low')\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras", "sklearn"} & set(done.stdout.split())


def test_nothing_is_printed_and_progress_is_handed_on(trained, files, capfd):
    events = []
    trained.model.predict(files, on_progress=events.append)
    assert trained.model.evaluate().accuracy == trained.accuracy
    assert capfd.readouterr() == ("", "")
    assert events[-1] == Progress("predict", len(files), len(files))


def test_the_names_are_there_and_unknown_ones_are_not():
    assert set(tl.__all__) <= set(dir(tl))
    for name in tl.__all__:
        assert getattr(tl, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = tl.trian
    assert (Path(tl_cli.__file__).parent / "py.typed").is_file()


def test_the_options_are_typed_as_the_configuration_has_them():
    assert {*Options.__annotations__, "data"} == set(RunConfig.model_fields)
    hints = typing.get_type_hints(Options)
    for name, hint in hints.items():
        TypeAdapter(hint).validate_python(option(name).default)
    for name, wrong in {"effort": "much", "track": "wandb", "epochs": "many"}.items():
        with pytest.raises(ValidationError):
            TypeAdapter(hints[name]).validate_python(wrong)


def test_options_are_what_they_are_in_python():
    settings = settings_of(Path("photos"), {"mirror": False, "freeze": 0.5, "epochs": None})
    assert (settings.data, settings.mirror, settings.freeze) == ("photos", "no", "0.5")
    assert settings_of("photos", {"mirror": True}).mirror == "yes"
    for wrong in (3, None):
        with pytest.raises(tl.TLError, match="data: must be"):
            tl.train(wrong)


def test_a_report_says_how_a_run_was_begun():
    assert page._typed(["/usr/bin/tl", "train", "a b"]) == "tl train 'a b'"
    assert page._typed(["/x/tl_cli/__main__.py", "train"]) == "tl train"
    assert page._typed(["study.py", "--fast"]) == "python study.py --fast"
    assert page._typed([]) == "tl"


def test_the_command_says_the_same_of_a_mistake(photos):
    said(command("train", "--data", photos, "--set", "epoch=3"), "did you mean 'epochs'")
