"""`tl explain` as a person uses it: overlays, a sheet, neighbours, and every mistake."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from test_cli import COLOURS, said, tl
from test_report import NASTY, Text
from tl_cli.data.csv_io import read_csv
from tl_cli.engine import demo, explain, predict
from tl_cli.engine.features import extraction
from tl_cli.report.explain import Sheet
from tl_cli.results.explanations import Explanation, Neighbour
from tl_cli.store import run_dir
from trained import mobilenet_weights, trained

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def data(colours):
    return colours


@pytest.fixture(scope="module")
def run(trained_once):
    """A head on several depths."""
    return trained_once("--freeze", "head", "--head", "multi")


@pytest.fixture(scope="module")
def why(run, data, tmp_path_factory):
    """What the command says of the test images, odd ones among them, and of a file that is none."""
    folder = tmp_path_factory.mktemp("why")
    (folder / "no.jpg").write_text("no image")
    done = tl("explain", run, data / "test", folder / "no.jpg", "--neighbours", 3,
              "--output", folder / "out", "--json")  # fmt: skip
    return done, json.loads(done.stdout)


def test_every_image_has_its_overlay_in_its_own_size(why):
    _, told = why
    good = [each for each in told["images"] if not each["error"]]
    assert len({each["overlay"] for each in good}) == len(good) > 12
    for each in good:
        with Image.open(each["overlay"]) as overlay, Image.open(each["path"]) as image:
            assert sorted(overlay.size) == sorted(image.size)  # EXIF may have turned it
            assert overlay.mode == "RGB"


def test_a_file_that_is_no_image_has_its_row_and_the_exit_code(why):
    done, told = why
    assert done.exit_code == 1
    assert told["failed"] == 1
    assert told["images"][-1]["error"] == "is not an image (text)"
    assert "is not an image" in Path(told["sheet"]).read_text()


def test_the_classes_are_those_of_predict(why, run):
    _, told = why
    built = predict.load_checkpoint(run_dir.RunDir(run))
    paths = [each["path"] for each in told["images"]]
    answers = [a for batch in predict.answers(built, paths) for a in batch]
    assert [a.label for a in answers] == [each["label"] or "" for each in told["images"]]
    for answer, each in zip(answers, told["images"], strict=True):
        if answer.guesses:
            assert each["probability"] == pytest.approx(answer.guesses[0][1], abs=1e-4)


def test_the_neighbours_are_training_images_the_nearest_first(why, run):
    _, told = why
    trained_on = {r.path: r.label for r in read_csv(run / run_dir.MANIFEST).of("train")}
    for each in told["images"][:-1]:
        near = [n["similarity"] for n in each["neighbours"]]
        assert near == sorted(near, reverse=True)
        assert len(near) == 3
        assert all(trained_on[n["path"]] == n["label"] for n in each["neighbours"])


def test_a_training_image_is_its_own_nearest_neighbour(run, tmp_path):
    record = read_csv(run / run_dir.MANIFEST).of("train")[7]
    done = tl("explain", run, record.path, "--neighbours", 1, "--output", tmp_path, "--json")
    [near] = json.loads(done.stdout)["images"][0]["neighbours"]
    assert near["path"] == record.path
    assert near["similarity"] == pytest.approx(1, abs=1e-3)


def test_another_class_another_block_and_equal_names(run, data, tmp_path):
    images = [data / "train" / name / "00.png" for name in COLOURS]
    done = tl("explain", run, *images, "--class", "red", "--at", "2", "--output", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("red ") >= 3
    assert sorted(p.name for p in tmp_path.glob("[!.]*")) == [
        "00-2.gradcam.png", "00-3.gradcam.png", "00.gradcam.png", "sheet.html",
    ]  # fmt: skip


@pytest.mark.long
def test_a_nested_network(data, tmp_path):
    weights = mobilenet_weights(tmp_path / "random.weights.h5")
    run = trained(data, tmp_path / "run", "--freeze", "head", "--backbone", "mobilenet_025",
                  "--weights", weights)  # fmt: skip
    image = data / "test" / "red" / "00.png"
    done = tl("explain", run, image, "--at", "5", "--output", tmp_path / "why", "--json")
    assert done.exit_code == 0, done.stderr
    assert min(json.loads(done.stdout)["map"]) > 1
    last = len(predict.load_checkpoint(run_dir.RunDir(run)).backbone.blocks)
    said(tl("explain", run, image, "--at", last), "has no places", "tl blocks")


def test_names_in_the_sheet_are_text(tmp_path, data):
    image, sheet = str(data / "test" / "red" / "00.png"), Sheet(tmp_path, "<b>")
    for name in NASTY:
        sheet.add(Explanation(image, name, 0.5, neighbours=(Neighbour(image, name, 0.1),)))
    sheet.close()
    found = Text(sheet.page.read_text())
    assert not found.tags & {"script", "b"}
    assert all(name in found.seen for name in NASTY)


def test_ctrl_c_leaves_whole_pictures_and_a_page_of_them(run, data, tmp_path, monkeypatch):
    def interrupted(explainer, paths, **_):
        yield Explanation(paths[0], "red", 0.9, heat=np.eye(4, dtype="float32"))
        raise KeyboardInterrupt

    monkeypatch.setattr(explain, "explained", interrupted)
    done = tl("explain", run, data / "test" / "red", "--output", tmp_path)
    assert done.exit_code == 130
    assert "stopped after 1 of" in done.stderr
    assert len(list(tmp_path.glob("[!.]*"))) == 2
    assert (tmp_path / "sheet.html").read_text().count("<img ") == 2


def test_unless_told_otherwise_the_pictures_lie_in_the_run(run, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tl("explain", run, data / "test" / "red" / "00.png")
    assert done.exit_code == 0, done.stderr
    assert f"wrote {run / 'explain' / 'sheet.html'}" in done.stderr
    assert (run / "explain" / "00.gradcam.png").is_file()
    assert not list(tmp_path.iterdir())
    shutil.rmtree(run / "explain")


@pytest.mark.long
def test_the_page_says_of_an_image_what_the_commands_say(run, data, why, tmp_path):
    page = demo.load(run_dir.RunDir(run), lambda event: None, top=2, least=0.5, neighbours=3)
    _, told = why
    for each in told["images"]:
        answer = page.answer(each["path"])
        assert answer.error == (each["error"] or "")
        if not answer.error:
            assert len(answer.guesses) == 2
            label, p = answer.guesses[0]
            assert (label, answer.unsure) == (each["label"], p < 0.5)
            assert p == pytest.approx(each["probability"], abs=1e-4)
            assert answer.heat.max() == 1
            assert [n.path for n in answer.neighbours] == [n["path"] for n in each["neighbours"]]


@pytest.mark.long
def test_the_page_does_without_what_a_copied_checkpoint_lacks(run, data, tmp_path):
    for name in (run_dir.CHECKPOINT, run_dir.WEIGHTS):
        shutil.copy(run / name, tmp_path)
    notes = []
    page = demo.load(run_dir.RunDir(tmp_path), notes.append, top=9, least=0.0, neighbours=3)
    assert ["No similar training images" in note.text for note in notes] == [True]
    answer = page.answer(str(data / "test" / "red" / "00.png"))
    assert (len(answer.guesses), answer.neighbours, answer.unsure) == (3, (), False)


# -- mistakes -------------------------------------------------------------------------------------


def test_mistakes_are_one_sentence(run, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = data / "test" / "red" / "00.png"
    said(tl("explain", run, image, "--class", "reds"), "unknown class 'reds': did you mean 'red'?")
    said(tl("explain", run, image, "--at", "stems"), "unknown block 'stems'")
    said(tl("explain", run, tmp_path / "none.jpg"), "none.jpg")
    (tmp_path / "empty").mkdir()
    said(tl("explain", run, tmp_path / "empty"), "no images")
    (tmp_path / "file").write_text("")
    said(tl("explain", run, image, "--output", tmp_path / "file" / "x"), "cannot write")
    assert not (run / "explain").exists()


@pytest.mark.long
def test_a_run_without_its_manifest_has_no_neighbours(run, data, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / run_dir.MANIFEST).unlink()
    image = data / "test" / "red" / "00.png"
    said(tl("explain", copy, image, "--neighbours", 2, "--output", tmp_path / "out"), "manifest")
    (copy / run_dir.WEIGHTS).write_bytes((copy / run_dir.WEIGHTS).read_bytes()[:100])
    said(tl("explain", copy, image, "--output", tmp_path / "out"), "damaged")


@pytest.mark.long
def test_the_neighbours_come_from_what_the_one_pass_kept(data, tmp_path, monkeypatch):
    run = trained(data, tmp_path / "run", "--freeze", "head")
    monkeypatch.setattr(extraction._Job, "compute", None)  # called, it would fail
    image = data / "test" / "red" / "00.png"
    done = tl("explain", run, image, "--neighbours", 2, "--output", tmp_path / "why", "--json")
    assert done.exit_code == 0, done.stderr
    assert len(json.loads(done.stdout)["images"][0]["neighbours"]) == 2
