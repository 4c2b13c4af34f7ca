"""Numbers as labels, from the table to the export: a real run on pictures of some brightness."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn import metrics
from sklearn.linear_model import Ridge

import tl_cli
from conftest import table
from test_cli import SMALL, tl
from tl_cli.data import label_forms, quantities
from tl_cli.data.csv_io import read_csv, write_csv
from tl_cli.data.manifest import CLASSIFICATION, REGRESSION, Manifest, Record
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_splits
from tl_cli.data.subset import limit
from tl_cli.engine import conformal, demo, label_errors, tuning
from tl_cli.engine.head import kernel, regression
from tl_cli.engine.head.regression import Scale
from tl_cli.engine.metrics import regression as figures
from tl_cli.errors import TLError
from tl_cli.report.demo import answers_html
from tl_cli.results import regression as values
from tl_cli.results.progress import silent
from tl_cli.results.regression import ValuePrediction, said
from tl_cli.results.update import means_compared
from tl_cli.store.run_dir import RunDir
from trained import mobilenet_weights

# -- what is a number -----------------------------------------------------------------------------


def read(*labels: str, task: str = "auto", name: str = "weight") -> Manifest:
    records = tuple(Record(f"{i}.png", label) for i, label in enumerate(labels))
    return label_forms.formed(Manifest("t.csv", (), records), task, name)


DECIMALS = [f"{i / 8}" for i in range(12)]


def test_decimals_on_nearly_every_image_are_a_number_and_it_is_said() -> None:
    found = read(*DECIMALS)
    assert (found.task, found.classes, found.doubt) == (REGRESSION, ("weight",), None)
    assert "--task classification" in found.notes[0]
    assert [quantities.value(r) for r in found.records] == [i / 8 for i in range(12)]
    assert read(*DECIMALS, task="classification").task == CLASSIFICATION


@pytest.mark.parametrize(
    ("labels", "asked"),
    [
        ([str(17 * i) for i in range(12)], True),  # whole numbers may be classes
        ([f"{i},5" for i in range(12)], True),  # is it 3.5?
        (["1.5", "2.5", "2.0"] * 20, False),  # grades
        ([str(i) for i in range(12)] * 2, False),
        (["cat", "dog"], False),
    ],
    ids=["whole", "commas", "grades", "numbered", "names"],
)
def test_what_may_be_classes_is_asked_about_or_classes(labels: list[str], asked: bool) -> None:
    found = read(*labels)
    assert found.task == CLASSIFICATION and bool(found.doubt) == asked
    if found.doubt:
        assert "--task regression" in found.doubt.choices


def test_many_whole_numbers_that_are_taken_for_classes_are_told() -> None:
    [note] = read(*[str(i) for i in range(12)] * 3).notes
    assert "12 different whole numbers" in note and "--task regression" in note


@pytest.mark.parametrize(
    ("labels", "message", "hint"),
    [
        (("1,5", "2.5"), "1 of 2 labels is no number: '1,5' ('0.png')", "1.5 for 1,5"),
        (
            ("1.5", "nan", "inf"),
            "2 of 3 labels are no number: 'nan' ('1.png'), 'inf'",
            "inf are no",
        ),
        (("1e999", "2"), "'1e999'", "correct these"),
        (("a", "2"), "'a' ('0.png')", "correct these"),
        (("1000000.1", "1000000.2"), "seven digits", "take a constant such as 1e"),
    ],
)
def test_what_is_no_number_is_one_sentence(labels: tuple, message: str, hint: str) -> None:
    with pytest.raises(TLError) as refused:
        read(*labels, task="regression")
    assert message in refused.value.message and hint in (refused.value.hint or "")


def test_a_blank_cell_is_named_by_its_line_and_a_column_by_its_name(folder: Path) -> None:
    rows = ["path,label", *(f"cat/0{i}.png,{i}.5" for i in range(3)), "dog/00.png,"]
    with pytest.raises(TLError, match="line 5: no label"):
        scan(str(table(folder, "\n".join(rows))), task="regression")
    rows = ["path,Weight in g", *(f"cat/0{i}.png,{i}.5" for i in range(3))]
    columns = {"label": "Weight in g"}
    found = scan(str(table(folder, "\n".join(rows))), task="regression", columns=columns)
    assert found.classes == ("Weight in g",)
    with pytest.raises(TLError, match="same number"):
        scan(str(table(folder, "path,label\ncat/00.png,2\ncat/01.png,2.0")), task="regression")
    with pytest.raises(TLError, match="'cat'"):  # folders that are called by no numbers
        scan(str(folder), task="regression")


# -- dealing --------------------------------------------------------------------------------------


def numbered(n: int = 200, group: int = 1) -> Manifest:
    rng = np.random.default_rng(0)
    records = tuple(
        Record(f"{i}.png", repr(round(float(x), 3)), group=f"g{i // group}", digest=f"{i:032x}")
        for i, x in enumerate(rng.lognormal(0, 1, n))
    )
    return Manifest("t.csv", ("weight",), records, task=REGRESSION)


def test_every_split_has_its_share_of_small_and_large_numbers_and_groups_stay_whole() -> None:
    manifest = numbered()
    split = assign_splits(manifest, val=0.2, test=0.1)
    edges = np.quantile(
        [quantities.value(r) for r in manifest.records], np.linspace(0, 1, 11)[1:-1]
    )
    for name, share in {"train": 0.7, "val": 0.2, "test": 0.1}.items():
        own = np.digitize([quantities.value(r) for r in split.of(name)], edges)
        assert np.abs(np.bincount(own, minlength=10) - 20 * share).max() <= 1.01
    again = assign_splits(replace(manifest, records=manifest.records[::-1]), val=0.2, test=0.1)
    assert {r.path: r.split for r in again.records} == {r.path: r.split for r in split.records}
    grouped = assign_splits(numbered(group=4))
    assert all(len({r.split for r in grouped.records[i : i + 4]}) == 1 for i in range(0, 200, 4))


def test_a_limit_takes_so_many_and_a_manifest_is_read_back(tmp_path: Path) -> None:
    few = limit(numbered(), 50)
    assert len(few.records) == 50 and few.task == REGRESSION and "limited to 50" in few.notes[0]
    with pytest.raises(TLError, match="no classes"):
        limit(numbered(), per_class=3)
    split = assign_splits(few)
    write_csv(split, tmp_path / "m.csv")
    again = read_csv(tmp_path / "m.csv")
    assert (again.task, again.records, again.classes) == (REGRESSION, split.records, ("weight",))


# -- the head -------------------------------------------------------------------------------------


def problem(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features [n, 10] and values [n, 1] that depend on three of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, 10))
    return x, (x[:, :3] @ [3.0, -2.0, 1.0] + rng.normal(0, 0.5, n) + 40)[:, None]


def test_the_head_is_ridge_in_the_unit_of_the_labels() -> None:
    x, y = problem(400)
    head = regression.solve(x[:200], y[:200])
    told = head.probabilities(x[200:])
    assert metrics.mean_absolute_error(y[200:], told) < 0.45  # of noise alone: 0.4
    theirs = Ridge(1e-3).fit(x[:200], y[:200, 0]).predict(x[200:])
    assert np.abs(theirs - told[:, 0]).max() < 0.1
    far = regression.solve(x[:200], 1000 * y[:200] - 7)
    np.testing.assert_allclose(far.probabilities(x[200:]), 1000 * told - 7, rtol=1e-4)


def test_held_out_values_never_saw_their_image() -> None:
    y = np.random.default_rng(1).normal(0, 1, (60, 1))
    wide = np.random.default_rng(2).normal(0, 1, (60, 500))
    assert regression.solve(wide, y).cv_r2 < 0.1


def test_a_kernel_bends_where_a_line_cannot() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (300, 2))
    y = (x[:, 0] * x[:, 1])[:, None]
    line = regression.solve(x, y)
    bent = kernel.solve_kernel(x, [2], y, 1, solve=regression.solve, loss=lambda head: head.cv_rmse)
    assert bent.cv_r2 > 0.95 > 0.2 > line.cv_r2
    assert kernel.better(bent, line, y, None, tuning.values(Scale.of(y)).losses)
    np.testing.assert_allclose(bent.probabilities(x), y, atol=0.5)


def test_the_interval_holds_as_often_as_it_promises() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        off = rng.normal(0, 3, (61, 1))
        far = conformal.interval(off[:60], np.zeros((60, 1)), 0.9)
        assert far and far.held_out == 60
        held.append(abs(off[60, 0]) <= far.radius)
    assert 0.85 <= np.mean(held) <= 0.96
    assert conformal.interval(np.zeros((8, 1)), np.zeros(8), 0.9) is None


def test_figures_are_those_of_scikit_learn_with_intervals_around_them() -> None:
    _, y = problem(80)
    told = y + np.random.default_rng(3).normal(0, 1, y.shape)
    found = figures.evaluate(told, y, ["weight"], split="test")
    assert found.mae == pytest.approx(metrics.mean_absolute_error(y, told))
    assert found.r2 == pytest.approx(metrics.r2_score(y, told))
    assert found.spearman == pytest.approx(spearmanr(y, told).statistic)
    assert found.guessing_mae == pytest.approx(np.abs(y - np.median(y)).mean())
    for name, ends in found.intervals.items():
        assert ends and ends[0] < getattr(found, name) < ends[1]
    assert found.learnt
    assert not figures.evaluate(y[::-1], y, ["weight"], split="test").learnt
    one = figures.evaluate(told[:1], y[:1], ["weight"], split="test")
    assert one.r2 is None and one.spearman is None and not one.learnt
    with pytest.raises(TLError, match="no test images"):
        figures.evaluate(told[:0], y[:0], ["weight"], split="test")


def test_it_is_tuned_by_the_loss_of_huber_of_standardised_numbers() -> None:
    scale = Scale(40.0, 5.0)
    how = tuning.values(scale)
    scores, true = np.array([[0.0], [3.0]], "float32"), np.array([[42.0], [40.0]])
    np.testing.assert_allclose(how.losses(how.activate(scores), true), [0.08, 2.5], rtol=1e-6)
    loss = how.loss(0.0)(true.astype("float32"), scores)
    assert float(loss) == pytest.approx((0.08 + 2.5) / 2, rel=1e-5)
    np.testing.assert_allclose(how.scores(how.activate(scores)), scores, rtol=1e-6)
    assert how.figure(how.scores(true), true) == 1.0


@pytest.mark.parametrize(
    ("number", "spread", "text"),
    [
        (3.14159, None, "3.14"), (0.00251, None, "0.00251"), (12345.6, None, "12,300"),
        (123.456, 3.1, "123.46"), (5432.1, 300.0, "5,432"), (0.0, None, "0"), (-7.0, 12.0, "-7.0"),
    ],
)  # fmt: skip
def test_a_number_has_as_many_digits_as_mean_anything(
    number: float, spread: float | None, text: str
) -> None:
    assert said(number, spread) == text


# -- the commands ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy grey pictures, and how bright they are in a table."""
    root = tmp_path_factory.mktemp("numbers")
    rng = np.random.default_rng(0)
    lines = ["path,brightness"]
    for i, value in enumerate(np.linspace(30, 220, 90) + rng.normal(0, 0.3, 90)):
        pixels = np.clip(rng.normal(value, 20, (32, 32, 3)), 0, 255).astype("uint8")
        Image.fromarray(pixels).save(root / f"{i:02d}.png")
        lines.append(f"{i:02d}.png,{value:.2f}")
    (root / "t.csv").write_text("\n".join(lines), encoding="utf-8")
    return root / "t.csv"


@pytest.fixture(scope="module")
def run(bright: Path, tmp_path_factory: pytest.TempPathFactory, loaded_once: None) -> Path:
    path = tmp_path_factory.mktemp("runs") / "number"
    told = trained(bright, path)
    assert told["task"] == REGRESSION and told["plan"]["policy"] == "a number"
    found = told["metrics"]["test"]
    assert found["learnt"] and found["mae"] < 0.6 * found["guessing_mae"]
    return path


def trained(bright: Path, path: Path, *options: object) -> dict:
    done = tl("train", bright, "--columns", "label=brightness", *SMALL, *options, "--report",
              "--test", 0.2, "--output", path, "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "a number is predicted, `brightness`" in done.stderr
    return json.loads(done.stdout)


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_an_evaluation_says_the_same_of_what_lies_on_disk(run: Path, bright: Path) -> None:
    kept = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    told = json.loads(tl("evaluate", run, "--json").stdout)
    assert told["mae"] == pytest.approx(kept["mae"], rel=1e-2)
    assert told["interval"]["coverage"] == 0.9 and 0 <= told["covered"] <= 1
    other = ("--data", bright, "--columns", "label=brightness")
    assert json.loads(tl("evaluate", run, *other, "--json").stdout)["n"] == 90
    shown = " ".join(tl("evaluate", run).stdout.split())
    assert "Predicts `brightness` to within" in shown and "guessing the median" in shown


def test_a_prediction_is_a_number_with_its_interval(run: Path, bright: Path) -> None:
    images, out = sorted(bright.parent.glob("*.png"))[::9], run.parent / "values.csv"
    broken = run.parent / "broken.png"
    broken.write_bytes(b"no image")
    assert tl("predict", run, *images, broken, "--output", out).exit_code == 1
    rows = rows_of(out)
    true = {row["path"]: float(row["brightness"]) for row in rows_of(bright)}
    for row in rows[: len(images)]:
        value, low, high = (float(row[name]) for name in ("value", "lower", "upper"))
        assert low < value < high
        assert abs(value - true[Path(row["path"]).name]) < 4 * (high - low)
    assert list(rows[0]) == ["path", "value", "lower", "upper", "error", "unknown_score"]
    again = tl("predict", run, *images, broken, "--output", out, "--resume")
    assert again.exit_code == 1 and rows_of(out) == rows
    wide = json.loads(tl("predict", run, images[0], "--coverage", 0.6, "--json").stdout)
    usual = json.loads(tl("predict", run, images[0], "--json").stdout)
    assert wide["interval"]["radius"] <= usual["interval"]["radius"]
    assert wide["predictions"][0]["value"] == usual["predictions"][0]["value"]
    assert usual["quantity"] == "brightness"
    assert "held-out" in tl("predict", run, images[0]).stderr
    refused = tl("predict", run, images[0], "--coverage", 0.99)
    assert refused.exit_code == 1 and "at most --coverage" in refused.stderr


def test_the_network_that_is_saved_says_the_number_itself(run: Path, bright: Path) -> None:
    image = sorted(bright.parent.glob("*.png"))[40]
    model = keras.saving.load_model(run / "model.keras", compile=False)
    pixels = np.asarray(Image.open(image), "float32")[None]
    told = json.loads(tl("predict", run, image, "--json").stdout)["predictions"][0]["value"]
    assert float(model.predict_on_batch(pixels)[0, 0]) == pytest.approx(told, rel=1e-4)
    [python] = tl_cli.load(run).predict(image)
    assert python.value == pytest.approx(told) and python.lower < python.value < python.upper


def test_what_is_unlike_all_images_is_unknown_and_has_a_number_all_the_same(
    run: Path, bright: Path, tmp_path: Path
) -> None:
    stripes = np.zeros((32, 32, 3), "uint8")
    stripes[::2, :, 0] = 255
    Image.fromarray(stripes).save(odd := tmp_path / "stripes.png")
    told = json.loads(tl("predict", run, bright.parent / "40.png", odd, "--json").stdout)
    usual, strange = (each["unknown_score"] for each in told["predictions"])
    assert usual < 1 < strange and told["unknown"] == 1
    assert told["predictions"][1]["value"] is not None
    assert "unknown: " in tl("predict", run, odd).stdout
    plain = json.loads(tl("predict", run, odd, "--no-unknown", "--json").stdout)
    assert plain["predictions"][0]["unknown_score"] is None
    out = tmp_path / "values.csv"
    assert tl("predict", run, odd, "--output", out).exit_code == 0
    again = tl("predict", run, odd, "--output", out, "--resume", "--json")
    assert json.loads(again.stdout)["unknown"] == 1


def test_why_a_number_is_said_and_which_images_are_alike(
    run: Path, bright: Path, tmp_path: Path
) -> None:
    image = bright.parent / "40.png"
    told = json.loads(tl("predict", run, image, "--json").stdout)["predictions"][0]
    folder = tmp_path / "why"
    done = tl("explain", run, image, "--neighbours", 2, "--output", folder, "--json")
    [why] = json.loads(done.stdout)["images"]
    assert why["value"] == pytest.approx(told["value"], rel=1e-4) and "probability" not in why
    assert Path(why["overlay"]).is_file() and len(why["neighbours"]) == 2
    page = (folder / "sheet.html").read_text(encoding="utf-8")
    assert "raises the number" in page and f"<strong>{said(told['value'])}</strong>" in page
    [found] = json.loads(tl("search", run, image, "--json").stdout)["images"]
    assert all(float(match["label"]) > 0 for match in found["matches"])
    page = demo.load(RunDir(run), silent, top=1, least=0.5, neighbours=1)
    answer = page.answer(str(image))
    assert answer.value == pytest.approx(told["value"], rel=1e-4) and answer.heat is not None
    html = answers_html(page.answer, [str(image)])
    assert f"<strong>{answer.said}</strong>" in html and "for 90% of images" in html
    assert "raises the number" in html and "tl-bar" not in html


def test_the_page_draws_said_against_right(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3 and "is how far its `brightness` is off" in page
    assert "The furthest off" in page and f"tl inspect {run} --label-errors" in page


def test_a_run_in_a_line_and_its_images_to_train_on_again(run: Path) -> None:
    [line] = json.loads(tl("runs", run.parent, "--json").stdout)["runs"]
    assert line["mae"] > 0 and line["accuracy"] is None
    again = json.loads(tl("inspect", run / "manifest.csv", "--json").stdout)
    assert again["task"] == REGRESSION and again["classes"] == ["brightness"]
    assert again["numbers"]["different"] > 80 and not again["wrong"]


def test_the_error_by_a_column(run: Path) -> None:
    told = json.loads(tl("evaluate", run, "--slice", "width", "--json").stdout)
    [row] = told["slices"]
    assert (row["value"], row["n"]) == ("32", 18) and row["mae"] == pytest.approx(told["mae"])
    assert row["interval"][0] < row["mae"] < row["interval"][1]


def test_the_advice_for_numbers_is_the_head_alone(bright: Path, tmp_path: Path) -> None:
    text = bright.read_text(encoding="utf-8").replace("path,brightness", "path,label")
    own = bright.with_name("own.csv")
    own.write_text(text, encoding="utf-8")
    done = tl("recommend-freeze", own, *SMALL[:2], "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["policy"], told["strategy"]) == ("a number", "head")
    refused = tl("recommend-freeze", own, "--similarity", "high")
    assert refused.exit_code == 1 and "labels are numbers" in refused.stderr


@pytest.mark.slow
def test_a_share_of_the_pass_is_that_of_the_training(bright: Path, tmp_path: Path) -> None:
    asked = ("train", bright, "--columns", "label=brightness", *SMALL, "--test", 0.2)
    share = json.loads(tl(*asked, "--shard", "1/1", "--json").stdout)
    assert (share["images"], share["passed"], share["missing"]) == (90, 90, [])
    again = json.loads(tl(*asked, "--shard", "1/1", "--json").stdout)
    assert again["passed"] == 0
    done = tl(*asked, "--output", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    assert json.loads(tl(*asked, "--shard", "1/1", "--json").stdout)["passed"] == 0


def test_runs_are_compared_by_how_far_they_are_off(run: Path, tmp_path: Path) -> None:
    worse, other = tmp_path / "worse", tmp_path / "other"
    for copy in (worse, other):
        shutil.copytree(run, copy)
    said = [ValuePrediction(p.path, p.split, p.value, p.predicted + 60)
            for p in values.read(run / "predictions.csv")]  # fmt: skip
    (worse / "predictions.csv").write_text(values.csv_text(said), encoding="utf-8")
    told = json.loads((run / "metrics.json").read_text())
    mae = float(np.mean([abs(p.error) for p in said if p.split == "test"]))
    told["metrics"]["test"]["mae"] = mae
    (worse / "metrics.json").write_text(json.dumps(told))
    told["metrics"]["test"]["quantity"] = "weight"
    (other / "metrics.json").write_text(json.dumps(told))
    done = tl("compare", run, worse, "--json")
    [pair] = json.loads(done.stdout)["pairs"]
    assert pair["n"] == 18 and pair["p_value"] < 0.05 and pair["second_mean"] == pytest.approx(mae)
    assert pair["difference"] < pair["interval"][1] < 0 and "first is better" in pair["verdict"]
    shown = " ".join(tl("compare", worse, run).stdout.split())
    assert f"{run.name} comes nearest, off by" in shown and "beyond chance." in shown
    page = tl("report", run, worse, "--output", tmp_path / "both.html")
    assert page.exit_code == 0, page.stderr
    seen = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert "comes nearest" in seen and "a permutation test" in seen
    refused = tl("compare", run, other)
    assert refused.exit_code == 1 and "'weight'" in refused.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("suggest", "FOLDER", "--count", "2"),
        ("evaluate", "--tta"),
        ("predict", "IMAGE", "--top-k", "2"),
        ("predict", "IMAGE", "--sort-into", "sorted"),
    ],
    ids=" ".join,
)
def test_what_knows_classes_alone_says_so(run: Path, bright: Path, command: tuple) -> None:
    name, *rest = command
    new = bright.parent.parent / "new"
    new.mkdir(exist_ok=True)
    Image.fromarray(np.arange(3072, dtype="uint8").reshape(32, 32, 3)).save(new / "a.png")
    there = {"IMAGE": bright.parent / "00.png", "FOLDER": new, "RUN": run}
    done = tl(name, run, *(there.get(word, word) for word in rest))
    assert done.exit_code == 1
    assert "predicts a number" in done.stderr and "hint:" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--balance", "weights"),
        ("--compare-freeze",),
        ("--effort", "thorough"),
        ("--from-scratch",),
    ],
    ids=" ".join,
)
def test_what_cannot_be_had_with_numbers_is_said_before_anything_is_done(
    bright: Path, options: tuple, tmp_path: Path
) -> None:
    done = tl(
        "train", bright, "--columns", "label=brightness", *options, "--output", tmp_path / "r"
    )
    assert done.exit_code == 1 and "number" in done.stderr and not (tmp_path / "r").exists()


def test_networks_are_ranked_by_the_share_of_the_variance_they_tell() -> None:
    _, y = problem(100)
    noise = np.random.default_rng(5).normal(0, 1, (3, 100, 1))
    good, alike, bad = y + noise[0], y + 1.05 * noise[1], y + 4 * noise[2]
    low, high = figures.r2_interval(good, y)
    assert 0 < low < metrics.r2_score(y, good) < high < 1
    assert figures.r2_p_value(good, bad, y) < 0.05 < figures.r2_p_value(good, alike, y)
    assert figures.r2_p_value(good, good, y) == 1
    assert figures.r2_interval(y + 99, y) == (0, 0)  # worse than the mean is no share


@pytest.mark.slow
def test_the_command_ranks_networks_and_a_training_takes_the_best(
    bright: Path, tmp_path: Path
) -> None:
    weights = mobilenet_weights(tmp_path / "small.weights.h5")
    among = ("--among", f"efficientnet_lite0,mobilenet_025={weights}", "--image-size", 32)
    asked = ("rank", bright, "--columns", "label=brightness", *among)
    found = json.loads(tl(*asked, "--json").stdout)
    for row in found["networks"]:
        assert row["interval"][0] <= row["r2"] <= row["interval"][1] and row["huber_loss"] > 0
    shown = " ".join(tl(*asked).stdout.split())
    assert f"Best here: {found['best']}" in shown.replace(" (small.weights.h5)", "")
    assert "share of the numbers' variance" in shown and "log loss" not in shown


# -- labels that look wrong -----------------------------------------------------------------------


def test_a_number_is_doubted_where_it_is_off_by_more_than_the_others_explain() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 10, (400, 1))
    said = true + rng.normal(2, 1, true.shape)  # that all are said too high is no error of one
    records = [Record(f"{i}.png", repr(float(v))) for i, v in enumerate(true[:, 0])]
    assert len(label_errors.values(records, said, true, ["weight"])) <= 1
    wrong = true.copy()
    wrong[:20] += np.sign(rng.normal(0, 1, (20, 1))) * rng.uniform(8, 30, (20, 1))
    found = label_errors.values(records, said, wrong, ["weight"])
    assert {f"{i}.png" for i in range(20)} <= {each.path for each in found} and len(found) <= 22
    assert [*found[0].to_json()] == ["path", "label", "suggested", "deviations"]
    scores = [each.deviations for each in found]
    assert scores == sorted(scores, reverse=True) and scores[-1] > 3.5
    assert not label_errors.values(records, true, true, ["weight"])


def test_numbers_that_were_swapped_are_found(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    manifest = read_csv(copy / "manifest.csv")
    order = sorted(manifest.of("train"), key=quantities.value)
    low, high = order[2], order[-3]
    other = {low.path: high.label, high.path: low.label}
    records = [replace(r, label=other.get(r.path, r.label)) for r in manifest.records]
    write_csv(manifest.with_records(records), copy / "manifest.csv")
    folder = tmp_path / "found"
    done = tl("inspect", copy, "--label-errors", "--output", folder)
    assert "looks like" in done.stdout and f"of {len(order)} training images" in done.stdout
    assert "--apply" in done.stdout
    rows = rows_of(folder / "label_errors.csv")
    assert list(rows[0]) == ["path", "label", "suggested", "deviations", "correct_label"]
    first = {row["path"]: row for row in rows[:2]}
    assert set(first) == set(other)
    assert float(first[low.path]["label"]) == quantities.value(high)
    assert abs(float(first[low.path]["suggested"]) - quantities.value(low)) < 60
    page = (folder / "label_errors.html").read_text(encoding="utf-8")
    assert f"<strong>{quantities.value(high):g}</strong>" in page and "deviations off" in page


# -- other images --------------------------------------------------------------------------------


def grown(run: Path, folder: Path) -> tuple[Path, list[float]]:
    """Return a table of some more pictures, with their numbers."""
    rng, values = np.random.default_rng(9), [55.5, 101.25, 160.5, 199.0]
    for i, value in enumerate(values):
        pixels = np.clip(rng.normal(value, 20, (32, 32, 3)), 0, 255).astype("uint8")
        Image.fromarray(pixels).save(folder / f"new{i}.png")
    lines = [f"new{i}.png,{value}" for i, value in enumerate(values)]
    return table(folder, "\n".join(["path,brightness", *lines])), values


def test_images_are_taken_in_and_out_and_how_far_it_is_off_is_compared(
    run: Path, bright: Path, tmp_path: Path
) -> None:
    more, values = grown(run, tmp_path)
    gone = next(r.path for r in read_csv(run / "manifest.csv").of("train"))
    done = tl("train", run, "--add", more, "--remove", gone, "--output", tmp_path / "new",
              "--no-report", "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)["update"]
    assert (told["added"], told["removed"]) == ({"brightness": 4}, {"brightness": 1})
    assert told["new_classes"] == told["by_class"] == []
    same = told["same"]
    assert same["n"] == 18 and same["difference"] == pytest.approx(same["after"] - same["before"])
    assert same["interval"][0] <= same["difference"] <= same["interval"][1]
    now = read_csv(tmp_path / "new" / "manifest.csv")
    assert now.task == REGRESSION and gone not in {r.path for r in now.records}
    held = {r.path: r.split for r in read_csv(run / "manifest.csv").records}
    assert all(r.split == held[r.path] for r in now.records if r.path in held)
    added = {quantities.value(r) for r in now.records if r.path not in held}
    assert added == set(values)


def test_errors_are_compared_in_pairs() -> None:
    rng = np.random.default_rng(0)
    before = np.abs(rng.normal(0, 1, 200)).tolist()
    found = means_compared(
        [b - 0.2 + rng.normal(0, 0.1) for b in before], before, less_is_better=True
    )
    assert found and found.p_value < 0.01 and found.interval[0] < -0.2 < found.interval[1]
    alike = means_compared(before, before, less_is_better=True)
    assert alike and alike.p_value == 1 and alike.difference == 0
    assert means_compared([], [], less_is_better=True) is None


@pytest.mark.parametrize(
    ("word", "parts"),
    [("", ["nothing is decided"]), ("1,5", ["no number", "1.5 for 1,5"]), ("nan", ["no number"])],
)
def test_a_table_of_decisions_has_numbers(
    run: Path, tmp_path: Path, word: str, parts: list[str]
) -> None:
    path = read_csv(run / "manifest.csv").of("train")[0].path
    decided = table(tmp_path, f'path,correct_label\n{path},"{word}"\n')
    done = tl("inspect", run, "--label-errors", "--apply", decided)
    assert done.exit_code == 1 and all(part in done.stderr for part in parts)


@pytest.mark.slow
def test_corrected_numbers_are_applied(run: Path, tmp_path: Path) -> None:
    first, second, *_ = read_csv(run / "manifest.csv").of("train")
    decided = table(tmp_path, f"path,correct_label\n{first.path},12.50\n{second.path},-\n")
    done = tl("inspect", run, "--label-errors", "--apply", decided, "--output", tmp_path / "new")
    assert done.exit_code == 0, done.stderr
    now = {r.path: r.label for r in read_csv(tmp_path / "new" / "manifest.csv").records}
    assert now[first.path] == "12.5" and second.path not in now
    assert "1 label corrected" in done.stdout and "off by" in done.stdout


@pytest.mark.slow
def test_a_network_is_tuned_where_it_is_asked_for(bright: Path, tmp_path: Path) -> None:
    told = trained(bright, tmp_path / "half", "--freeze", "half", "--epochs", 2)
    head, *_, again = told["tune"]["candidates"]
    assert told["tune"]["epochs"] == 2 and told["tune"]["kept"] in (head["name"], again["name"])
    assert (again["huber_loss"] < head["huber_loss"]) == (told["tune"]["kept"] == again["name"])
    page = (tmp_path / "half" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 5 and "Huber" in page


@pytest.mark.slow
@pytest.mark.parametrize("form", ["keras", "onnx", "litert", "saved_model"])
def test_an_export_has_one_output_in_the_unit_of_the_labels(run: Path, form: str) -> None:
    done = tl("export", run, "--format", form, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["passed"] and told["task"] == REGRESSION and told["interval"]["radius"] > 0
    assert "`value`, [batch, 1]" in Path(told["recipe"]).read_text(encoding="utf-8")
    assert (
        told["outputs"] == ["unknown_score", "value"]
        and told["equality"]["unknown_difference"] < 1e-3
    )
    assert "Mean absolute error" in Path(told["card"]).read_text(encoding="utf-8")
    shown = subprocess.run([sys.executable, "-c", told["usage"]], capture_output=True, text=True)
    assert shown.returncode == 0 and "brightness" in shown.stdout, shown.stderr
