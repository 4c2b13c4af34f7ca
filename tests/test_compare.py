"""`tl compare` and --compare-scratch: pairs are of the same images, curves begin where due."""

import json
import re
import shutil

import pytest
from PIL import Image

from finished import finished, records
from test_cli import COLOURS, SMALL, paint, tl
from tl_cli.store import run_dir

FAST = SMALL


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Both ways on one split, from weights that were saved a moment ago."""
    from tl_cli import catalog
    from tl_cli.engine.networks import loading

    root = tmp_path_factory.mktemp("compare")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "photos" / name, seed, 16, colour)
    weights = root / "own.weights.h5"
    loading.load(catalog.get("small"), 32, weights=None).model.save_weights(weights)
    done = tl("train", "--data", root / "photos", *FAST, "--weights", weights, "--test", "0.2",
              "--epochs", 1, "--freeze", "half", "--output", root / "run",
              "--compare-scratch", "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return root, json.loads(done.stdout)


@pytest.mark.long
def test_both_ways_are_told_on_one_split(told):
    root, found = told
    transfer, scratch = found["runs"]
    assert (transfer["strategy"], scratch["strategy"]) == ("partial", "scratch")
    assert (root / "run" / run_dir.MANIFEST).read_text() == (
        root / "run-scratch" / run_dir.MANIFEST
    ).read_text()
    assert scratch["trained_parameters"] > transfer["trained_parameters"] > 0
    with Image.open(root / "run" / "comparison.png") as picture:
        assert min(picture.size) > 300


@pytest.mark.long
def test_the_plan_of_the_least_log_loss_is_the_best(told):
    root, found = told
    names = [row["name"] for row in found["plans"]]
    assert names == ["asked for", "scratch"]
    losses = {row["name"]: row["log_loss"] for row in found["plans"]}
    assert found["best"] == min(losses, key=lambda name: losses[name])
    # of what was tuned, whether it was kept or not
    tune = json.loads((root / "run" / run_dir.METRICS).read_text())["tune"]
    assert losses["asked for"] == tune["candidates"][-1]["log_loss"]


@pytest.mark.long
def test_a_plan_that_is_the_same_is_trained_once(told, tmp_path):
    root, _ = told
    weights = root / "own.weights.h5"
    done = tl("train", "--data", root / "photos", *FAST, "--weights", weights, "--epochs", 1,
              "--freeze", "half", "--output", tmp_path / "run", "--compare-freeze")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run-full", "run-head"]
    table = done.stdout[done.stdout.rindex("frozen  accuracy") :]
    assert re.search(r"^half .* the same plan as asked for *$", table, re.MULTILINE)
    for name in ("asked for", "head", "full"):
        assert re.search(rf"^{name} +\d+% +[\d.]+% +[\d.]+ .* (yes|no) ", table, re.MULTILINE)
    assert "Best on validation: " in table
    before = done.stdout[: done.stdout.rindex("frozen  accuracy")]
    for name in ("asked for", "head", "full"):
        assert re.search(rf"^{name}: [\d.]+% on validation; ", before, re.MULTILINE)
    assert "half: the same plan as asked for\n" in before
    assert "Ready:" not in done.stdout + done.stderr and "Plan:" not in done.stdout
    assert done.stdout.count("Recognises") == table.count("Recognises") == 1  # the best


@pytest.mark.long
def test_a_place_that_is_taken_is_told_before_anything_is_trained(told, tmp_path):
    root, _ = told
    shutil.copytree(root / "run", tmp_path / "run-full")
    weights = root / "own.weights.h5"
    done = tl("train", "--data", root / "photos", *FAST, "--freeze", "head", "--weights", weights,
              "--output", tmp_path / "run", "--compare-freeze")  # fmt: skip
    assert done.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run-full"]


@pytest.mark.long
def test_the_pair_is_counted_on_the_same_images(told):
    _, found = told
    [pair] = found["pairs"]
    one, other = found["runs"]
    assert pair["n"] == one["n"] == other["n"]
    assert pair["difference"] == pytest.approx(
        one["figures"]["accuracy"] - other["figures"]["accuracy"]
    )


@pytest.mark.long
def test_curves_count_what_was_seen(told):
    _, found = told
    transfer, scratch = (run["curve"] for run in found["runs"])
    size = scratch[0]["images"]
    assert [point["images"] for point in transfer] == [size, 2 * size]
    assert [point["images"] for point in scratch] == [size]
    for run in found["runs"]:
        seconds = [point["seconds"] for point in run["curve"]]
        assert 0 < seconds[0] <= seconds[-1] < run["seconds"]


@pytest.mark.long
def test_the_table_names_each_run_and_the_verdict(told):
    root, _ = told
    done = tl("compare", root / "run", root / "run-scratch", "--plot", root / "two.png")
    assert done.exit_code == 0, done.stderr
    assert "run-scratch" in done.stdout
    assert "in common" in done.stdout
    assert re.search(r"A tie|recognises the most", done.stdout)
    assert (root / "two.png").is_file()


def test_runs_are_paired_where_the_images_are_the_same_and_damage_is_one_sentence(tmp_path):
    found = records([tmp_path / "photos" / f"{i}.png" for i in range(40)], ["cat", "dog"], 12)
    one, other = (finished(tmp_path / f"{k}", found, skill=k).path for k in (2, 1))
    done = tl("compare", one, other)
    assert done.exit_code == 0, done.stderr
    assert "24 images in common" in " ".join(done.stdout.split())
    path = other / run_dir.PREDICTIONS
    path.write_text(path.read_text().replace("/photos/", "/elsewhere/"))
    done = tl("compare", one, other)
    assert done.exit_code == 0, done.stderr
    assert "not tested on the same images" in done.stdout
    (other / run_dir.METRICS).write_text("{}")
    done = tl("compare", one, other)
    assert (done.exit_code, run_dir.METRICS in done.stderr) == (1, True)
    done = tl("compare", one, tmp_path / "nothing")
    assert (done.exit_code, "holds no finished run" in done.stderr) == (1, True)
    assert tl("compare", one).exit_code == 2


def test_comparing_scratch_with_scratch_is_wrong_usage():
    done = tl("train", "--data", "x", *FAST, "--from-scratch", "--compare-scratch")
    assert done.exit_code == 2
