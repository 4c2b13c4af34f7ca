"""`tl evaluate` beyond its figures, as a person uses it."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from conftest import picture
from test_cli import COLOURS, paint, said, tl
from tl_cli.data.csv_io import read_csv
from tl_cli.store import run_dir
from trained import trained

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def data(colours):
    return colours


@pytest.fixture(scope="module")
def run(trained_once):
    return trained_once("--freeze", "head")


def told(*arguments):
    done = tl("evaluate", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_everything_at_once(run, data):
    found, _ = told(run, "--slice", "mode", "--against", run, "--plots")
    assert found["calibration"]["temperature"] > 0
    assert found["calibration"]["ece_scaled"] is not None
    assert sum(b["n"] for b in found["calibration"]["bins"]) == found["n"]
    assert sum(row["n"] for row in found["slices"]) == found["n"]
    assert {"RGB", "L", "CMYK"} <= {row["value"] for row in found["slices"]}
    assert found["against"]["accuracy"]["p_value"] == 1
    assert found["coverage"][0]["min_confidence"] == 0.5
    assert all(each["label"] != each["predicted"] for each in found["mistakes"])
    assert len(found["mistakes"]) == round(found["n"] * (1 - found["accuracy"]))
    for name in ("confusion.png", "reliability.png", "roc.png", "precision_recall.png"):
        assert str(run / name) in found["pictures"]
        with Image.open(run / name) as picture:
            assert picture.width > 300


def test_the_screen_shows_the_headline_first(run):
    done = tl("evaluate", run, "--slice", "mode", "--against", run)
    assert done.exit_code == 0, done.stderr
    order = [done.stdout.index(part) for part in (
        "accuracy", "precision", "true \\ predicted", "Probabilities", "calibration error",
        "If unsure answers are withheld", "The costliest mistakes", "By mode", "Against",
        "no difference beyond chance", "Next",
    )]  # fmt: skip
    assert order == sorted(order)


def test_on_validation_the_temperature_is_not_judged(run):
    found, _ = told(run, "--split", "val")
    assert found["calibration"]["temperature"] > 0
    assert found["calibration"]["ece_scaled"] is None


def test_a_column_of_the_users_own_table(run, data, tmp_path):
    lines = [
        f"{file},{name},{'old' if i % 2 else 'new'}"
        for name in COLOURS
        for i, file in enumerate(sorted((data / "test" / name).glob("*.png")))
    ]
    (tmp_path / "t.csv").write_text("path,label,camera\n" + "\n".join(lines) + "\n")
    found, _ = told(run, "--data", tmp_path / "t.csv", "--slice", "camera")
    assert {row["value"]: row["n"] for row in found["slices"]} == {"new": 6, "old": 6}
    done = tl("evaluate", run, "--data", tmp_path / "t.csv", "--slice", "camra")
    said(done, "unknown column 'camra': did you mean 'camera'")


@pytest.mark.long
@pytest.mark.parametrize("allowed", ["no", "yes"])
def test_mirror_images_only_where_the_run_allows_them(run, tmp_path, allowed):
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / run_dir.CONFIG).read_text()
    (copy / run_dir.CONFIG).write_text(text.replace("mirror: auto", f"mirror: {allowed}"))
    found, err = told(copy, "--tta")
    assert found["mirrored"] == (allowed == "yes")
    assert ("must not be mirrored" in err) == (allowed == "no")


def test_where_mirroring_is_open_the_validation_images_decide(run):
    found, err = told(run, "--tta")
    assert found["mirrored"]  # a colour is the same in a mirror
    assert "Mirroring: yes" in err


@pytest.mark.long
def test_two_classes_have_thresholds(data, tmp_path):
    for name in ("blue", "red"):
        shutil.copytree(data / "train" / name, tmp_path / "two" / name)
    run = trained(tmp_path / "two", tmp_path / "run", "--freeze", "head")
    found, _ = told(run, "--target-precision", 0.9, "--target-recall", 0.8)
    assert [each["positive"] for each in found["thresholds"]] == ["blue", "red"] * 2
    assert all(each["recall"] >= 0.8 for each in found["thresholds"][2:])


@pytest.mark.long
def test_validation_images_that_are_gone_cost_only_the_temperature(run, data, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / run_dir.MANIFEST).unlink()
    found, err = told(copy, "--data", data / "test")
    assert found["calibration"]["temperature"] is None
    assert "validation images are gone" in err
    said(tl("evaluate", copy), "manifest.csv")


def test_mistakes_are_one_sentence(run, data, tmp_path):
    said(tl("evaluate", run, "--target-recall", 0.9), "a threshold is for two classes", "knows 3")
    said(tl("evaluate", run, "--slice", "modes"), "unknown column 'modes': did you mean 'mode'")
    said(tl("evaluate", run, "--against", tmp_path), "holds no checkpoint.json")
    broken = shutil.copytree(run, tmp_path / "broken")
    (broken / run_dir.CHECKPOINT).write_text("{")
    said(tl("evaluate", run, "--against", broken), "damaged")
    paint(tmp_path / "one" / "blue", 0, 3, (0, 0, 250))
    found, _ = told(run, "--data", tmp_path / "one")
    assert found["roc_area"] is None
    (tmp_path / "none" / "blue").mkdir(parents=True)
    said(tl("evaluate", run, "--data", tmp_path / "none"), "no images")


def test_validation_images_are_judged_by_what_was_held_out(run):
    """The saved head was refit on them: its own answers would be too good."""
    figures = json.loads((run / run_dir.METRICS).read_text())
    assert figures["refit"] is True
    again, err = told(run, "--split", "val")
    assert again["log_loss"] == pytest.approx(figures["metrics"]["val"]["log_loss"], abs=1e-6)
    assert f"fitted to {again['n']} of {again['n']} images" in " ".join(err.split())
    manifest = read_csv(run / run_dir.MANIFEST)
    images = [record.path for record in manifest.of("val")]
    answers = json.loads(tl("predict", run, *images, "--json", "-q").stdout)["predictions"]
    labels = {record.path: record.label for record in manifest.of("val")}
    fitted = [
        -np.log(each["probability"]) for each in answers if each["label"] == labels[each["path"]]
    ]
    assert np.mean(fitted) < again["log_loss"]


@pytest.mark.long
def test_without_a_refit_the_network_itself_is_asked(data, tmp_path):
    path = trained(data, tmp_path / "run", "--freeze", "head", "--no-refit")
    figures = json.loads((path / run_dir.METRICS).read_text())
    (path / run_dir.HELD_OUT).unlink()
    again, err = told(path, "--split", "val")
    assert again["log_loss"] == pytest.approx(figures["metrics"]["val"]["log_loss"], abs=1e-4)
    assert "fitted to" not in err


def test_images_that_were_trained_on_are_counted_and_left_out_of_a_second_figure(run, data):
    manifest = read_csv(run / run_dir.MANIFEST)
    found, err = told(run, "--data", data, "--split", "all")
    n = len(manifest.of("train"))
    assert f"{n} of {found['n']} images were trained on" in " ".join(err.split())
    others, _ = told(run, "--data", data, "--split", "test")
    assert f"on {len(manifest.of('val')) + others['n']}" in " ".join(err.split())
    assert found["trained_on"]["n"] == n and found["trained_on"]["others"] == found["n"] - n
    assert found["trained_on"]["accuracy"] == pytest.approx(
        float(re.search(r"accuracy is (\S+) on", " ".join(err.split()))[1]), abs=1e-3
    )
    found, err = told(run, "--data", data, "--split", "test")
    assert "trained on" not in err and found["trained_on"] is None


@pytest.mark.long
def test_copies_that_were_saved_anew_count_as_trained_on(tmp_path):
    for i in range(12):
        path = tmp_path / "data" / "train" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i, (160, 120)).save(path)
    run = trained(tmp_path / "data", tmp_path / "run", "--freeze", "head", "--no-refit")
    records = read_csv(run / run_dir.MANIFEST).of("train")
    for i, record in enumerate(records):
        image = Image.open(record.path)
        path = tmp_path / "new" / record.label / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.resize((120, 90) if i % 2 else (160, 120)).save(path, quality=75 if i % 3 else 95)
    other = tmp_path / "new" / "a" / "other.jpg"
    picture(99, (160, 120)).save(other)
    found, err = told(run, "--data", tmp_path / "new")
    assert found["trained_on"] | {"accuracy": 0, "interval": 0} == {
        "n": 0,
        "near": len(records),
        "others": 1,
        "accuracy": 0,
        "interval": 0,
    }
    assert "look nearly the same as images that were trained on; without them" in " ".join(
        err.split()
    )


@pytest.mark.others_long(2)
@pytest.mark.parametrize("damage", ["gone", "cut", "pickle", "rows"])
def test_held_out_answers_that_are_damaged_are_one_sentence(run, tmp_path, damage):
    path = shutil.copytree(run, tmp_path / "run") / run_dir.HELD_OUT
    rows = np.load(path)
    path.unlink()
    if damage == "cut":
        path.write_bytes(b"\x93NUMPY")
    elif damage == "pickle":
        np.save(path, np.array([{}]), allow_pickle=True)
    elif damage == "rows":
        np.save(path, rows[1:])
    done = tl("evaluate", tmp_path / "run", "--split", "val")
    assert done.exit_code == 1
    assert "held_out.npy" in done.stderr
    assert "Traceback" not in done.stderr
