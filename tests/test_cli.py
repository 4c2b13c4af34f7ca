"""The commands as a person uses them: a run, its files, its evaluation, and every mistake."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import small_network
from tl_cli import catalog
from tl_cli.cli.app import app
from tl_cli.results import predictions
from tl_cli.store import run_dir

pytestmark = pytest.mark.usefixtures("loaded_once")

SMALL = (
    *("--backbone", small_network.SMALL.name),
    *("--image-size", "32", "--batch-size", "8", "--no-report"),
)
REAL = (*SMALL, "--backbone", catalog.DEFAULT)  # the last one counts


def tl(*arguments: object) -> object:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def paint(
    folder: Path,
    seed: int,
    count: int,
    colour: tuple[int, int, int],
    size: tuple[int, int] = (40, 48),
) -> None:
    """Write noisy pictures of one colour: classes that a head can tell apart."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        noisy = np.clip(rng.normal(colour, 40, (*size, 3)), 0, 255).astype("uint8")
        Image.fromarray(noisy).save(folder / f"{i:02d}.png")


COLOURS = {"blue": (40, 60, 200), "grün ✿": (40, 190, 60), "red": (210, 40, 50)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("colours")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "train" / name, seed, 20, colour)
        paint(root / "test" / name, seed + 10, 6, colour)
    return root


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("head", marks=pytest.mark.long),  # on the real network
        "0.9",
        pytest.param("full", marks=pytest.mark.slow),
    ],
)
def run(request, folder, tmp_path_factory) -> tuple[Path, dict, str]:
    """A finished run of each kind of plan, with what it printed as JSON."""
    path = tmp_path_factory.mktemp("runs") / request.param
    os.environ["TL_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    network = REAL if request.param == "head" else SMALL
    done = tl("train", "--data", folder, "--freeze", request.param, "--epochs", 2, *network,
              "--report", "--output", path, "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return path, json.loads(done.stdout), request.param


def test_a_run_learns_and_says_what_it_did(run):
    _, told, freeze = run
    assert told["metrics"]["test"]["accuracy"] > 0.9
    assert told["metrics"]["val"]["n"] + told["plan"]["size"] == 60
    assert told["plan"]["strategy"] == {"head": "head", "0.9": "partial", "full": "full"}[freeze]
    assert {"features", "head", "total"} <= set(told["seconds"])


def test_the_run_directory_holds_everything(run):
    path, told, _ = run
    expected = {*run_dir.FILES} - {run_dir.BAD_FILES, run_dir.GRADIENTS}
    if told["plan"]["strategy"] == "head":
        expected -= {run_dir.HISTORY}
    assert {p.name for p in path.iterdir()} == expected
    assert json.loads((path / run_dir.STATUS).read_text())["state"] == "done"
    assert json.loads((path / run_dir.LABELS).read_text()) == sorted(COLOURS)
    assert json.loads((path / run_dir.METRICS).read_text())["metrics"] == told["metrics"]
    assert json.loads((path / run_dir.PLAN).read_text()) == told["plan"]
    assert told["report"] == str(path / run_dir.REPORT)
    assert "grün ✿" in (path / run_dir.REPORT).read_text()
    said = predictions.read(path / run_dir.PREDICTIONS)
    for split, figures in told["metrics"].items():
        of = [each for each in said if each.split == split]
        assert len(of) == figures["n"]
        assert sum(each.right for each in of) / len(of) == pytest.approx(figures["accuracy"])


def test_evaluate_finds_the_figures_of_the_training_again(run):
    path, told, _ = run
    done = tl("evaluate", path, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["split"], found["n"]) == ("test", 18)
    assert found["accuracy"] == told["metrics"]["test"]["accuracy"]
    assert found["log_loss"] == pytest.approx(told["metrics"]["test"]["log_loss"], abs=0.02)
    assert {"balanced_accuracy", "macro_f1", "intervals", "majority_baseline"} <= set(found)


@pytest.mark.long
@pytest.mark.parametrize("run", ["0.9"], indirect=True)
def test_the_exported_model_opens_without_this_package(run):
    path, _, _ = run
    code = (
        "import sys; sys.modules['tl_cli'] = None\n"
        "import keras, numpy as np\n"
        f"model = keras.saving.load_model({str(path / run_dir.EXPORTED)!r})\n"
        "red = np.full((2, 32, 32, 3), (210, 40, 50), 'float32')\n"
        "print(model.predict(red, verbose=0).tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    probabilities = np.array(json.loads(done.stdout))
    assert probabilities.sum(1) == pytest.approx(1, abs=1e-5)
    assert probabilities.argmax(1).tolist() == [2, 2]


@pytest.mark.long
@pytest.mark.parametrize("run", ["0.9"], indirect=True)
def test_the_configuration_repeats_the_run(run, tmp_path):
    path, told, _ = run
    done = tl("train", "--config", path / run_dir.CONFIG, "--output", tmp_path / "again", "--json")
    assert done.exit_code == 0, done.stderr
    again = json.loads(done.stdout)
    assert again["metrics"]["test"]["accuracy"] == told["metrics"]["test"]["accuracy"]
    assert again["plan"]["freeze_ratio"] == told["plan"]["freeze_ratio"]


@pytest.mark.long
@pytest.mark.parametrize("run", ["head"], indirect=True)
def test_a_run_is_repeated_from_its_manifest(run, tmp_path):
    path, told, freeze = run
    done = tl("train", "--data", path / run_dir.MANIFEST, "--freeze", freeze, "--epochs", 2, *REAL,
              "--output", tmp_path / "again", "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    again = json.loads(done.stdout)
    assert (tmp_path / "again" / run_dir.MANIFEST).read_text() == (
        path / run_dir.MANIFEST
    ).read_text()
    assert again["metrics"]["test"]["accuracy"] == told["metrics"]["test"]["accuracy"]


@pytest.mark.long
@pytest.mark.parametrize("freeze", ["head", pytest.param("half", marks=pytest.mark.slow)])
def test_a_network_of_keras_applications_with_weights_from_a_file(folder, tmp_path, freeze):
    weights = tmp_path / "random.weights.h5"
    keras.utils.set_random_seed(0)
    keras.applications.MobileNet(
        (32, 32, 3), alpha=0.25, include_top=False, weights=None
    ).save_weights(weights)
    own = ("--backbone", "mobilenet_025", "--weights", weights, "--freeze", freeze, "--epochs", 1)
    done = tl("train", "--data", folder, *SMALL, *own, "--output", tmp_path / "run", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    found = json.loads(tl("evaluate", tmp_path / "run", "--json").stdout)
    assert found["log_loss"] == pytest.approx(told["metrics"]["test"]["log_loss"], abs=0.02)


@pytest.mark.long
@pytest.mark.parametrize(
    "precision", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_mixed_precision_trains_and_comes_back(folder, tmp_path, precision):
    done = tl("train", "--data", folder, "--freeze", "0.9", "--epochs", 2, *SMALL, "--output",
              tmp_path / "run", "--precision", precision, "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["precision"] == precision
    found = json.loads(tl("evaluate", tmp_path / "run", "--json").stdout)
    assert found["accuracy"] == told["metrics"]["test"]["accuracy"] > 0.9
    described = json.loads((tmp_path / "run" / run_dir.CHECKPOINT).read_text())
    assert described["precision"] == precision


# -- evaluate on other data -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def head_run(trained_once) -> Path:
    return trained_once("--freeze", "head")


def test_a_folder_that_lacks_a_class_is_evaluated_on_those_it_has(head_run, folder, tmp_path):
    for name in ("blue", "red"):
        shutil.copytree(folder / "test" / name, tmp_path / "some" / name)
    done = tl("evaluate", head_run, "--data", tmp_path / "some", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["n"], found["split"]) == (12, "all")
    assert found["balanced_accuracy"] > 0.8


def test_an_unknown_class_is_named(head_run, folder, tmp_path):
    shutil.copytree(folder / "test", tmp_path / "more")
    (tmp_path / "more" / "red").rename(tmp_path / "more" / "reds")
    done = tl("evaluate", head_run, "--data", tmp_path / "more")
    assert done.exit_code == 0, done.stderr  # over the classes that it knows, and that is said
    said = " ".join(done.stderr.split())
    assert "does not know left out" in said
    assert "'reds' (did you mean 'red'?)" in said


@pytest.mark.parametrize("name", [run_dir.WEIGHTS, run_dir.CHECKPOINT])
def test_a_truncated_checkpoint_is_one_sentence(head_run, tmp_path, name):
    copy = tmp_path / "run"
    shutil.copytree(head_run, copy)
    (copy / name).write_bytes((copy / name).read_bytes()[:100])
    done = tl("evaluate", copy)
    assert done.exit_code == 1
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkpoint_of_another_class_set_is_one_sentence(head_run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(head_run, copy)
    described = json.loads((copy / run_dir.CHECKPOINT).read_text())
    described["classes"].append("yellow")
    (copy / run_dir.CHECKPOINT).write_text(json.dumps(described))
    done = tl("evaluate", copy)
    assert done.exit_code == 1
    assert "does not fit" in done.stderr


# -- a dry run ------------------------------------------------------------------------------------


def test_a_dry_run_tells_all_and_writes_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tl("train", "--data", folder, "--freeze", "half", *SMALL, "--dry-run", "-v")
    assert done.exit_code == 0, done.stderr
    for part in ("grün ✿", "Plan:", "steps an epoch", "learning rate", "Time here"):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


# -- mistakes -------------------------------------------------------------------------------------


def said(done, *parts: str) -> None:
    """Check that a command ended with one sentence on standard error and exit code 1."""
    assert done.exit_code == 1, done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_a_folder_that_is_missing(tmp_path):
    (tmp_path / "bees").mkdir()
    said(tl("train", "--data", tmp_path / "beees"), "beees", "hint:")


def test_a_folder_that_is_empty(tmp_path):
    said(tl("train", "--data", tmp_path), "hint:")


def test_a_folder_without_images(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    said(tl("train", "--data", tmp_path), "no images")


def test_one_class_is_not_enough(image_folder):
    said(tl("train", "--data", image_folder(["cat"])), "cat")


def test_a_class_of_one_image_is_named(image_folder):
    image_folder(["cat"], n=1)
    said(tl("train", "--data", image_folder(["dog", "emu"], n=5)), "cat")


@pytest.fixture
def some_bad(image_folder) -> Path:
    folder = image_folder(n=10)
    whole = (folder / "cat" / "00.png").read_bytes()
    (folder / "cat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cat" / "empty.jpg").write_bytes(b"")
    (folder / "dog" / "text.jpg").write_text("this is no image")
    return folder


def test_bad_files_are_named_counted_and_skipped(some_bad, tmp_path):
    run = tmp_path / "run"
    done = tl("train", "--data", some_bad, "--freeze", "head", *SMALL, "--output", run)
    assert done.exit_code == 0, done.stderr
    assert "! 3 files cannot be used and were skipped" in done.stdout
    bad = (run / run_dir.BAD_FILES).read_text()
    assert all(name in bad for name in ("cut.png", "empty.jpg", "text.jpg"))


def test_bad_files_can_be_an_error(some_bad):
    said(tl("train", "--data", some_bad, "--bad-images", "error"), "cut.png")


def test_all_mistakes_in_the_configuration_come_together():
    done = tl(
        "train", "--data", "x", "--backbone", "resnet5", "--freeze", "hlaf", "--epochs", "ten"
    )
    said(done, "3 mistakes", "resnet5", "did you mean 'half'?", "'ten'")


def test_an_output_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    said(tl("train", "--data", folder, "--output", tmp_path / "file" / "run"), "cannot write")


def test_a_disk_without_room_for_the_run_is_told_before_the_training(tmp_path, folder, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    run = tmp_path / "run"
    done = tl("train", "--data", folder, "--freeze", "head", *SMALL, "--output", run)
    said(done, "0 MB are free", "are needed")
    assert json.loads((run / run_dir.STATUS).read_text())["state"] == "failed"


def test_a_disk_that_fills_up_is_one_sentence(tmp_path, folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "plan.json")

    monkeypatch.setattr(run_dir.RunDir, "write_json", full)
    said(
        tl("train", "--data", folder, "--output", tmp_path / "run"), "the disk is full", "plan.json"
    )


def test_a_second_run_into_the_same_directory(head_run, folder):
    before = (head_run / run_dir.METRICS).read_bytes()
    said(tl("train", "--data", folder, "--output", head_run), "--overwrite")
    assert (head_run / run_dir.METRICS).read_bytes() == before


@pytest.mark.long
def test_a_run_that_overwrites_takes_the_place_only_when_it_is_whole(
    head_run, folder, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    shutil.copytree(head_run, run)
    (run / "confusion.png").write_bytes(b"old")
    before = (run / run_dir.METRICS).read_bytes()
    again = ("train", "--data", folder, "--freeze", "head", *SMALL, "--output", run, "--overwrite",
             "--report")  # fmt: skip
    with monkeypatch.context() as patched:
        usage = shutil.disk_usage(tmp_path)
        patched.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
        said(tl(*again), "0 MB are free")
    assert (run / run_dir.METRICS).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    done = tl(*again, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["run"], told["report"]) == (str(run), str(run / run_dir.REPORT))
    assert (run / run_dir.METRICS).read_bytes() != before
    assert not (run / "confusion.png").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("signal_sent", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
)
def test_what_ends_a_tuning_leaves_the_solved_head(folder, tmp_path, signal_sent, code):
    """From the first head on there is a result: it can be evaluated whatever ended the run."""
    run = tmp_path / "run"
    started = subprocess.Popen(
        [sys.executable, "-m", "small_network", "train", "--data", str(folder), "--freeze", "full",
         "--epochs", "500", *SMALL, "--output", str(run), "--verbose"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
        # a shell starts what runs in the background with interrupts ignored, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    lines = []
    for line in started.stderr:
        lines.append(line)
        if "epoch 2/" in line:
            break
    started.send_signal(signal_sent)
    _, rest = started.communicate(timeout=60)
    assert started.returncode == code, "".join(lines) + rest
    assert "Traceback" not in rest
    assert "Ctrl-C keeps this" in "".join(lines)
    assert json.loads((run / run_dir.STATUS).read_text())["state"] == "head"
    done = tl("evaluate", run, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] > 0.9
    if signal_sent != signal.SIGKILL:
        assert "The solved head is kept" in rest
        assert not any(p.name.startswith(".") for p in run.iterdir())


def test_an_interrupt_before_there_is_a_head_says_so(folder, tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tl_cli.engine.head.choice.solve", interrupted)
    done = tl("train", "--data", folder, *SMALL, "--output", tmp_path / "run")
    assert done.exit_code == 130
    assert json.loads((tmp_path / "run" / run_dir.STATUS).read_text())["state"] == "interrupted"
    assert not (tmp_path / "run" / run_dir.CHECKPOINT).exists()
