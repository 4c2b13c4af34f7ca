"""Several labels an image, from the table to the export: a real run on half-and-half pictures."""

from __future__ import annotations

import csv
import itertools
import json
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from sklearn.metrics import average_precision_score, f1_score

import tl_cli
from test_cli import COLOURS, SMALL, tl
from tl_cli.cli.label_errors import _labels
from tl_cli.config import RunConfig
from tl_cli.data import stratification
from tl_cli.data.csv_io import read_csv, write_csv
from tl_cli.data.manifest import MULTILABEL, Manifest, Record
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_added, assign_splits
from tl_cli.data.subset import limit
from tl_cli.engine import demo
from tl_cli.engine.finetune import flip_check
from tl_cli.engine.head import multilabel, platt
from tl_cli.engine.head.choice import softened
from tl_cli.engine.head.problem import stratified_folds
from tl_cli.engine.images import dataset
from tl_cli.engine.metrics import multilabel as metrics
from tl_cli.engine.tuning import LABELS
from tl_cli.errors import TLError
from tl_cli.report.demo import answers_html
from tl_cli.results import predictions
from tl_cli.results.progress import silent
from tl_cli.store.run_dir import RunDir

# -- dealing --------------------------------------------------------------------------------------


def labelled(n: int = 200, seed: int = 0) -> Manifest:
    """Return images of common and rare labels, in any combination and without any."""
    draw = random.Random(seed)
    shares = {"common": 0.6, "often": 0.3, "rare": 0.05}
    records = []
    for i in range(n):
        names = [name for name, share in shares.items() if draw.random() < share]
        records.append(Record(f"{i}.png", ";".join(names), digest=f"{i:032x}"))
    return Manifest("t.csv", tuple(sorted(shares)), tuple(records), task=MULTILABEL)


@pytest.mark.parametrize("seed", range(3))
def test_every_split_has_its_share_of_every_label(seed: int) -> None:
    manifest = labelled(seed=seed)
    split = assign_splits(manifest, val=0.2, test=0.1, seed=seed)
    whole = manifest.counts()
    for name, share in {"train": 0.7, "val": 0.2, "test": 0.1}.items():
        assert abs(len(split.of(name)) - 200 * share) <= 3
        for label, n in split.counts(name).items():
            assert abs(n - whole[label] * share) <= 1.5
    again = assign_splits(
        Manifest("u", manifest.classes, manifest.records[::-1], task=MULTILABEL),
        test=0.1,
        seed=seed,
    )
    assert {r.path: r.split for r in again.records} == {r.path: r.split for r in split.records}


def test_a_label_of_two_images_is_trained_on_and_validated() -> None:
    records = [Record(f"{i}.png", "a" if i > 1 else "a;b", digest=f"{i:032x}") for i in range(20)]
    split = assign_splits(Manifest("t.csv", ("a", "b"), tuple(records), task=MULTILABEL))
    assert split.counts("train")["b"] == split.counts("val")["b"] == 1


def test_groups_stay_together_and_folds_have_every_label() -> None:
    rng = np.random.default_rng(0)
    indicators = rng.random((120, 4)) < (0.5, 0.2, 0.1, 0.05)
    groups = np.arange(120) // 3
    fold = stratified_folds(indicators, 5, 0, groups)
    assert all(len(set(fold[groups == g])) == 1 for g in range(40))
    alone = stratified_folds(indicators, 5, 0)
    for column in indicators.T:
        spread = np.bincount(alone[column], minlength=5)
        assert spread.max() - spread.min() <= 2
    assert stratification.dealt([{}, {"a": 1}], [1, 1], [0.5, 0.5]) in ([0, 1], [1, 0])


def test_a_limit_takes_images_and_keeps_every_label_as_often() -> None:
    manifest = labelled()
    assert len(limit(manifest, 50).records) == 50
    few = limit(manifest, per_class=5)
    assert all(n >= 5 for n in few.counts().values())
    assert len(few.records) < 30


def test_the_manifest_is_read_back_as_it_was(tmp_path: Path) -> None:
    split = assign_splits(labelled(40))
    write_csv(split, tmp_path / "m.csv")
    again = read_csv(tmp_path / "m.csv")
    assert (again.task, again.records, again.classes) == (MULTILABEL, split.records, split.classes)


def test_a_run_s_manifest_is_a_table_to_train_on(folder: Path) -> None:
    labels = ("a;b", "a", "b", "a;b")
    images = sorted(folder.rglob("*.png"))
    records = tuple(Record(str(p), name) for p, name in zip(images, labels * 2, strict=True))
    write_csv(Manifest("t", ("a", "b"), records, task=MULTILABEL), folder / "manifest.csv")
    again = scan(str(folder / "manifest.csv"))
    assert (again.task, again.counts()) == (MULTILABEL, {"a": 6, "b": 6})


# -- the head -------------------------------------------------------------------------------------


def problem(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features [n, 20] and indicators [n, 3]; the third label is chance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, 20))
    p = expit(2.5 * x[:, :3] - 1)
    p[:, 2] = 0.3
    return x, (rng.random((n, 3)) < p).astype("float32")


def test_the_head_is_calibrated_and_finds_what_there_is() -> None:
    x, y = problem(600)
    head = multilabel.solve(x[:300], y[:300], 3)
    p = head.probabilities(x[300:])
    areas = average_precision_score(y[300:], p, average=None)
    assert areas[:2].min() > 0.75 > 0.45 > areas[2]
    assert np.abs(p.mean(0) - y[300:].mean(0)).max() < 0.06
    sure = p[:, 0] > 0.8
    assert abs(y[300:][sure, 0].mean() - p[sure, 0].mean()) < 0.1
    assert np.ptp(p[:, 2]) < 0.5  # chance is not called sure


def test_held_out_probabilities_never_saw_their_image() -> None:
    _, y = problem(60)
    y[:, 0] = np.random.default_rng(1).random(60) < 0.5
    wide = np.random.default_rng(2).normal(0, 1, (60, 500))
    head = multilabel.solve(wide, y, 3)
    assert average_precision_score(y[:, 0], head.held_out[:, 0]) < 0.8


def test_the_sigmoid_is_of_a_frequency_where_scores_say_nothing() -> None:
    y = (np.arange(40) < 10).astype(float)[:, None]
    slope, intercept = platt.fit(-y + 0.01 * np.random.default_rng(0).normal(size=(40, 1)), y)
    assert slope[0] == 0
    assert abs(expit(intercept[0]) - 0.25) < 0.03
    sharp, _ = platt.fit(y, y)
    assert np.isfinite(sharp[0]) and sharp[0] > 0


def test_thresholds_are_the_best_f1_and_shared_by_rare_labels() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((400, 2)) < (0.3, 0.01)).astype(float)
    p = np.clip(0.2 + 0.3 * y + rng.normal(0, 0.08, y.shape), 0, 1)
    own, rare = multilabel.thresholds(p, y)

    def f1(t: float) -> float:
        said = p[:, 0] >= t
        return float(2 * (said * y[:, 0]).sum() / (said.sum() + y[:, 0].sum()))

    assert f1(own) >= max(f1(t) for t in np.linspace(0.05, 0.95, 91)) - 1e-9
    assert y[:, 1].sum() < multilabel.LEAST_OF_OWN and 0.3 < rare < 0.45


def test_figures_are_those_of_scikit_learn_with_intervals_around_them() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((80, 4)) < (0.5, 0.3, 0.1, 0.0)).astype(float)
    p = np.clip(0.3 * y + 0.7 * rng.random(y.shape), 0, 1)
    found = metrics.evaluate(p, y, list("abcd"), split="val", thresholds=[0.5] * 4)
    assert found.mean_average_precision == pytest.approx(
        np.mean([average_precision_score(y[:, i], p[:, i]) for i in range(3)])
    )
    assert found.per_class[3].average_precision is None
    for name, ends in found.intervals.items():
        assert ends and ends[0] <= getattr(found, name) <= ends[1]
    said = p >= 0.5
    assert found.subset_accuracy == np.mean((said == y).all(1))
    assert found.learnt
    chance = metrics.evaluate(
        rng.random(y.shape), y, list("abcd"), split="val", thresholds=[0.5] * 4
    )
    assert not chance.learnt


# -- tuning ---------------------------------------------------------------------------------------


def test_a_softened_head_says_of_each_label_how_often_it_is() -> None:
    """Towards one half, rare labels would be said of every image."""
    x, y = problem()
    y[:, 2] = np.arange(300) < 6  # 2 %
    head = multilabel.solve(x, y, 3)
    often = expit(LABELS.neutral(y, 3))
    assert np.allclose(often, (y.sum(0) + 1) / 302)
    soft = softened(head, 0.25, LABELS.neutral(y, 3))
    p = soft.probabilities(x)
    assert np.abs(p.mean(0) - often).max() < 0.05
    assert p.std(0).max() < 0.5 * head.probabilities(x).std(0).max()


def test_a_temperature_takes_confidence_and_no_frequency() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((400, 3)) < (0.5, 0.1, 0.02)).astype("float32")
    zero = LABELS.neutral(y, 3)
    scores = zero + 4 * (2 * y - 1) + rng.normal(0, 12, y.shape)  # far too sure
    t = LABELS.temperature(scores, zero, y, None)
    before, after = (LABELS.losses(LABELS.answers(scores, zero, each), y).mean() for each in (1, t))
    assert t > 4 and after < 0.5 * before
    assert after < LABELS.losses(np.tile(expit(zero), (400, 1)), y).mean()
    np.testing.assert_allclose(LABELS.scores(LABELS.activate(zero)), zero, rtol=1e-5)


def test_a_refit_head_gets_the_sigmoids_of_the_one_before() -> None:
    x, y = problem(400)
    x, y = x[:, :2], y[:, :2]  # of chance a sigmoid may be flat
    half, whole = multilabel.solve(x[:200], y[:200], 2), multilabel.solve(x, y, 2)
    raw = (x @ whole.weights + whole.bias - whole.intercepts) / whole.slopes
    expected = expit(raw * half.slopes + half.intercepts)
    made = whole.calibrated_as(half).probabilities(x)
    np.testing.assert_allclose(made, expected, atol=1e-4)
    assert np.abs(made - whole.probabilities(x)).max() > 0.01


@pytest.mark.long
def test_mixing_images_mixes_their_labels() -> None:
    images = np.random.default_rng(0).integers(0, 255, (8, 16, 16, 3)).astype("uint8")
    labels = np.array([[1, 1, 0]] * 4 + [[0, 1, 1]] * 4, "float32")
    batches = dataset.batches(images, labels, batch_size=8, training=True, augment="strong")
    drawn = np.concatenate([np.asarray(y) for _, y in itertools.islice(iter(batches), 8)])
    assert drawn.shape == (64, 3) and drawn.dtype == np.float32
    np.testing.assert_allclose(drawn[:, 1], 1, rtol=1e-6)  # what both have stays
    np.testing.assert_allclose(drawn[:, 0] + drawn[:, 2], 1, rtol=1e-5)
    assert ((drawn[:, 0] > 0.01) & (drawn[:, 0] < 0.99)).any()


def test_a_mirror_is_judged_by_the_labels_that_images_have() -> None:
    labels = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    plain = np.array([[0.9, 0.4, 0.9], [0.9, 0.9, 0.9], [0.1, 0.1, 0.6]])
    (as_it_is, mirrored), own = flip_check.recognised([plain, 1 - plain], labels, (0.5,) * 3)
    assert own.tolist() == [0, 1, 2]
    assert as_it_is.tolist() == [True, False, True]
    assert mirrored.tolist() == [False, True, False]


# -- the commands ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one colour, or of two, one above the other; their names in a table."""
    root = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(0)
    pairs = [*itertools.combinations(COLOURS, 2), *((name,) for name in COLOURS)]
    lines = ["path,label"]
    for i, names in enumerate(pairs * 12):
        halves = [np.full((24, 48, 3), COLOURS[name]) for name in (names[0], names[-1])]
        pixels = np.clip(rng.normal(np.concatenate(halves), 30), 0, 255).astype("uint8")
        Image.fromarray(pixels).save(root / f"{i:02d}.png")
        lines.append(f"{i:02d}.png,{';'.join(names)}")
    file = root / "labels.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory, loaded_once: None) -> Path:
    return trained(table, tmp_path_factory.mktemp("runs") / "several", "--freeze", "head")


def trained(table: Path, path: Path, *options: object) -> Path:
    done = tl("train", table, *SMALL, *options, "--report", "--test", 0.2,
              "--output", path, "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["task"] == MULTILABEL
    assert told["metrics"]["test"]["mean_average_precision"] > 0.9
    assert 0 < told["head"]["cv_average_precision"] <= 1
    return path


@pytest.mark.long
def test_tuning_tries_what_it_made_beside_the_head(table: Path, tmp_path: Path) -> None:
    run = trained(table, tmp_path / "run", "--freeze", "half", "--epochs", 2, "--augment", "light")
    tune = json.loads((run / "metrics.json").read_text())["tune"]
    assert [each["name"] for each in tune["candidates"]] == ["head", "tuned", "solved again"]
    for each in tune["candidates"]:
        assert each["average_precision"] > 0.8 and each["test_average_precision"] > 0.8
    rows = rows_of(run / "history.csv")
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert all(0 <= float(row["val_average_precision"]) <= 1 for row in rows)
    head, *_, again = tune["candidates"]
    assert tune["gain"] == pytest.approx(head["log_loss"] - again["log_loss"])


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_an_evaluation_says_the_same_of_what_lies_on_disk(run: Path, table: Path) -> None:
    kept = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    told = json.loads(tl("evaluate", run, "--json").stdout)
    assert told["mean_average_precision"] == pytest.approx(kept["mean_average_precision"], abs=1e-3)
    others = json.loads(tl("evaluate", run, "--data", table, "--json").stdout)
    assert others["n"] == 72 and others["classes"] == sorted(COLOURS)
    shown = tl("evaluate", run).stdout
    assert "Mean average precision" in shown and "grün ✿" in shown


def test_a_prediction_has_all_labels_and_a_column_a_class(run: Path, table: Path) -> None:
    images = sorted(table.parent.glob("*.png"))[:12]
    out = run.parent / "labels.csv"
    done = tl("predict", run, *images, "--output", out)
    assert done.exit_code == 0, done.stderr
    rows = rows_of(out)
    described = json.loads((run / "checkpoint.json").read_text())
    for row in rows:
        said = [
            name
            for name, threshold in zip(described["classes"], described["thresholds"], strict=True)
            if float(row[f"probability_{name}"]) >= threshold
        ]
        assert row["label"] == ";".join(said)
    true = [line.split(",")[1] for line in table.read_text(encoding="utf-8").splitlines()[1:13]]
    right = sum(
        set(r["label"].split(";")) == set(t.split(";")) for r, t in zip(rows, true, strict=True)
    )
    assert right >= 10
    again = tl("predict", run, *images, "--output", out, "--resume")
    assert again.exit_code == 0 and rows_of(out) == rows
    told = json.loads(tl("predict", run, images[0], "--json").stdout)
    assert sorted(told["predictions"][0]["labels"]) == sorted(
        filter(None, rows[0]["label"].split(";"))
    )
    assert Counter(told["labels"]).total() >= 1


def test_the_network_that_is_saved_ends_in_sigmoids(run: Path) -> None:
    model = keras.saving.load_model(run / "model.keras", compile=False)
    last = model.layers[-1]
    while hasattr(last, "layers"):
        last = last.layers[-1]
    assert last.activation is keras.activations.sigmoid


def test_python_predicts_and_measures_as_the_commands_do(run: Path, table: Path) -> None:
    model = tl_cli.load(run)
    images = sorted(table.parent.glob("*.png"))[:4]
    answers = model.predict(images, unknown=False)
    said = json.loads(tl("predict", run, *images, "--no-unknown", "--json").stdout)["predictions"]
    assert [list(each.labels) for each in answers] == [each["labels"] for each in said]
    assert all(set(filter(None, each.label.split(";"))) == set(each.labels) for each in answers)
    found = model.evaluate()
    kept = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    assert found.mean_average_precision == pytest.approx(kept["mean_average_precision"], abs=1e-3)
    with pytest.raises(TLError, match="several labels"):
        model.predict(images, min_confidence=0.5)
    with pytest.raises(TLError, match="several labels"):
        model.evaluate(tta=True)


def test_a_label_that_was_made_up_is_found(run: Path, table: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    manifest = read_csv(copy / "manifest.csv")
    records = list(manifest.records)
    one = next(i for i, r in enumerate(records) if r.split == "train" and ";" not in r.label)
    made_up = next(name for name in COLOURS if name != records[one].label)
    records[one] = replace(records[one], label=";".join(sorted((records[one].label, made_up))))
    write_csv(manifest.with_records(records), copy / "manifest.csv")
    done = tl("inspect", copy, "--label-errors", "--output", tmp_path / "found", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)["label_errors"]
    assert (records[one].path, made_up) in [(each["path"], each["label"]) for each in found]
    for each in found:
        assert {each["label"], each["suggested"]} in [{name, f"not {name}"} for name in COLOURS]
    assert "correct_label" in (tmp_path / "found" / "label_errors.csv").read_text("utf-8")


def test_what_is_unlike_all_is_unknown_and_what_is_alike_is_found(
    run: Path, table: Path, tmp_path: Path
) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    board = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((8, 8))) * 255
    Image.fromarray(board.astype("uint8")).convert("RGB").save(pool / "board.png")
    told = json.loads(tl("predict", run, pool / "board.png", "--json").stdout)
    [answer] = told["predictions"]
    assert answer["unknown_score"] > 1 and answer["labels"] == []
    assert told["labels"] == {"unknown": 1}
    image = table.parent / "00.png"
    alike = json.loads(tl("search", run, image, "--top", 3, "--json").stdout)
    assert len(alike["images"][0]["matches"]) == 3
    [heat] = json.loads(tl("explain", run, image, "--output", tmp_path / "heat", "--json").stdout)[
        "images"
    ]
    assert heat["label"] in COLOURS and 0 < heat["probability"] <= 1
    out = tmp_path / "next.csv"
    after = json.loads(tl("suggest", run, pool, "--count", 1, "--output", out, "--json").stdout)
    assert "said from" in after["suggestions"][0]["why"]
    assert "mAP" in tl("runs", run.parent).stdout


def test_two_heads_are_told_apart_by_how_they_order_images() -> None:
    _, y = problem(200)
    rng = np.random.default_rng(3)
    good, bad = (np.clip(a * y + rng.random(y.shape), 0, 2) for a in (0.4, 0.05))
    assert metrics.average_precision_p_value(good, bad, y) < 0.05
    assert metrics.average_precision_p_value(good, good, y) == 1
    low, high = metrics.average_precision_interval(good, y)
    assert low < LABELS.figure(good, y) < high


@pytest.mark.long
def test_an_export_says_that_it_ends_in_sigmoids(run: Path) -> None:
    done = tl("export", run, "--format", "keras", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["passed"] and len(told["thresholds"]) == 3
    recipe = Path(told["recipe"]).read_text(encoding="utf-8")
    assert "sigmoid" in recipe and "unknown_score" in recipe
    assert "| label | average precision |" in Path(told["card"]).read_text(encoding="utf-8")


def test_the_page_has_a_table_by_label(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "mean average precision of 3 labels" in page
    assert "By label, the least well found first" in page
    assert "taken for" in page or "All labels of every image are right" in page


def test_images_and_labels_are_taken_in_and_out(run: Path, tmp_path: Path) -> None:
    before = read_csv(run / "manifest.csv")
    alone = next(r for r in before.of("train") if r.label == "grün ✿")
    rng, lines = np.random.default_rng(7), ["path,label"]
    for i, names in enumerate(("white", "RED;white") * 4):
        halves = [np.full((24, 48, 3), 240), np.full((24, 48, 3), (0, COLOURS["red"])[i % 2])]
        pixels = np.clip(rng.normal(np.concatenate(halves), 30), 0, 255).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{names}")
    (tmp_path / "more.csv").write_text("\n".join(lines), encoding="utf-8")
    done = tl("train", run, "--add", tmp_path / "more.csv", "--remove", "blue", "--remove",
              alone.path, "--output", tmp_path / "new", "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)["update"]
    assert (told["new_classes"], told["gone_classes"]) == (["white"], ["blue"])
    assert (told["added"], told["added_images"]) == ({"red": 4, "white": 8}, 8)
    gone = [r for r in before.records if r.label == "blue" or r.path == alone.path]
    assert told["removed_images"] == len(gone) and "'blue' taken from" in done.stderr
    now = {r.path: r for r in read_csv(tmp_path / "new" / "manifest.csv").records}
    kept = [r for r in before.records if r not in gone]
    assert set(now) == {r.path for r in kept} | {str(tmp_path / f"{i}.png") for i in range(8)}
    for r in kept:
        label = ";".join(name for name in r.label.split(";") if name != "blue")
        assert (now[r.path].label, now[r.path].split) == (label, r.split)
    assert {now[str(tmp_path / f"{i}.png")].split for i in range(8)} >= {"train", "val"}
    assert 0 <= told["same"]["after"] <= 1 and told["same"]["n"] == sum(
        r.split == "test" for r in kept
    )
    white = [row for row in told["by_class"] if row["name"] == "white"]
    assert all(row["before"] is None for row in white)


def test_the_figure_by_a_column_and_the_page_of_the_demo(run: Path, table: Path) -> None:
    told = json.loads(tl("evaluate", run, "--slice", "width", "--json").stdout)
    [row] = told["slices"]
    own = json.loads(tl("compare", run, run, "--json").stdout)["runs"][0]
    assert (told["sliced_by"], row["value"], row["n"]) == ("width", "48", told["n"])
    assert row["image_f1"] == pytest.approx(own["figures"]["image_f1"], abs=0.02)
    assert "By width, the worst first" in tl("evaluate", run, "--slice", "width").stdout
    image = str(table.parent / "00.png")
    said = json.loads(tl("predict", run, image, "--json").stdout)["predictions"][0]["labels"]
    page = demo.load(RunDir(run), silent, top=1, least=0.5, neighbours=1)
    assert page.answer(image).labels == tuple(said)
    html = answers_html(page.answer, [image])
    assert f"<strong>{', '.join(said)}</strong>" in html and "unsure" not in html


def test_a_new_label_needs_an_image_to_train_on() -> None:
    kept = [Record(f"{i}.png", "a;b", "train", digest=f"{i:032x}") for i in range(4)]
    new = [Record("n.png", "a;c", "test", digest=f"{9:032x}")]
    with pytest.raises(TLError, match="no image to train on has 'c'"):
        assign_added(kept, new, val=0.2, test=0.1, task=MULTILABEL)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("", ["nothing is decided"]),
        ("not purple", ["'not purple'", "no label of the run"]),
        ("red;not red", ["both 'red' and 'not red'"]),
    ],
)
def test_a_table_of_decisions_names_labels(
    run: Path, tmp_path: Path, word: str, parts: list[str]
) -> None:
    path = read_csv(run / "manifest.csv").of("train")[0].path
    (tmp_path / "t.csv").write_text(f"path,correct_label\n{path},{word}\n", encoding="utf-8")
    done = tl("inspect", run, "--label-errors", "--apply", tmp_path / "t.csv")
    assert done.exit_code == 1 and all(part in done.stderr for part in parts), done.stderr


def test_decisions_on_labels_are_put_together(run: Path) -> None:
    one, two, three, *_ = (r for r in read_csv(run / "manifest.csv").records if r.label == "red")
    said = {one.path: ["blue", "not red"], two.path: ["not red"], three.path: ["-", "blue"]}
    labels = _labels(said, Path("t.csv"), RunDir(run))
    assert labels == {one.path: "blue", two.path: "", three.path: None}


@pytest.mark.slow
def test_corrected_labels_are_applied(run: Path, tmp_path: Path) -> None:
    one, two, *_ = (r for r in read_csv(run / "manifest.csv").of("train") if r.label == "red")
    (tmp_path / "t.csv").write_text(
        f"path,correct_label\n{one.path},blue\n{one.path},not red\n{two.path},-\n"
    )
    done = tl("inspect", run, "--label-errors", "--apply", tmp_path / "t.csv",
              "--output", tmp_path / "new")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    now = {r.path: r.label for r in read_csv(tmp_path / "new" / "manifest.csv").records}
    assert now[one.path] == "blue" and two.path not in now
    assert "1 label corrected" in done.stdout and "F1 of an image" in done.stdout


def test_runs_are_compared_by_f1_of_each_image(run: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse"
    shutil.copytree(run, worse)
    said = [replace(p, predicted="red") for p in predictions.read(run / "predictions.csv")]
    (worse / "predictions.csv").write_text(predictions.csv_text(said), encoding="utf-8")
    done = tl("compare", worse, run, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    for each, own in zip(told["runs"], (worse, run), strict=True):
        rows = [p for p in predictions.read(own / "predictions.csv") if p.split == "test"]
        sets = [[{*p.label.split(";")}, {*p.predicted.split(";")} - {""}] for p in rows]
        names = sorted(COLOURS)
        true, guess = ([[n in s[i] for n in names] for s in sets] for i in (0, 1))
        assert each["figures"]["image_f1"] == pytest.approx(
            f1_score(true, guess, average="samples", zero_division=1)
        )
    assert "second is better" in told["pairs"][0]["verdict"]
    shown = " ".join(tl("compare", worse, run).stdout.split())
    assert f"{run.name} labels images best" in shown and "mean average precision" in shown


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "--tta"),
        ("evaluate", "--against", "RUN"),
        ("predict", "IMAGE", "--top-k", "2"),
        ("predict", "IMAGE", "--sort-into", "sorted"),
    ],
    ids=" ".join,
)
def test_what_knows_one_label_an_image_says_so(run: Path, table: Path, command: tuple) -> None:
    name, *rest = command
    new = table.parent.parent / "new"
    new.mkdir(exist_ok=True)
    Image.fromarray(np.arange(3072, dtype="uint8").reshape(32, 32, 3)).save(new / "a.png")
    there = {"IMAGE": table.parent / "00.png", "FOLDER": new, "RUN": run}
    done = tl(name, run, *(there.get(word, word) for word in rest))
    assert done.exit_code == 1
    assert "several labels" in done.stderr and "hint:" in done.stderr


def test_what_classes_alone_have_is_refused(table: Path) -> None:
    with pytest.raises(TLError, match="balance weights"):
        RunConfig(data="x", balance="weights").for_task(MULTILABEL)
