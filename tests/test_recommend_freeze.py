"""`tl recommend-freeze` and `tl train` with a measured plan, as a person uses them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from test_cli import COLOURS, SMALL, paint, tl
from tl_cli import catalog

THOROUGH = ("--effort", "thorough")
FAST = SMALL[:2]  # the network


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    """Have the small network be one whose distances were calibrated."""
    monkeypatch.setitem(catalog.ANCHORS, "small", catalog.ANCHORS[catalog.DEFAULT])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("advice")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / name, seed, 24, colour, size=(8, 10))  # small: 32 px are enough
    return root


@pytest.mark.others_long(1)
@pytest.mark.parametrize("network", [FAST, ()], ids=["small", "real"])
def test_the_advice_comes_with_its_evidence_in_order(folder, network):
    done = tl("recommend-freeze", "--data", folder, *network)
    assert done.exit_code == 0, done.stderr
    order = ["Plan:", "weighted layers", "Evidence", "distance", "similarity", "pixels", "joined",
             "Why", "With other data", "Time here"]  # fmt: skip
    places = [done.stdout.index(word) for word in order]
    assert places == sorted(places)
    assert "Nothing was trained" in done.stdout


def test_the_json_has_all_of_it(folder):
    told = json.loads(tl("recommend-freeze", "--data", folder, *FAST, "--json").stdout)
    assert told["similarity_source"] == "measured"
    assert told["similarity"] == told["evidence"]["similarity"]
    assert len(told["evidence"]["thirds"]) == 3
    assert {"ten times the images"} < set(told["alternatives"])
    assert told["seconds"]["total"] > 0


@pytest.mark.long
def test_the_evidence_is_drawn_on_request(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tl("recommend-freeze", "--data", folder, *FAST, "--plots")
    assert "wrote recommend-freeze/advice.png" in done.stderr
    with Image.open("recommend-freeze/advice.png") as picture:
        assert min(picture.size) > 300
    assert [path.name for path in tmp_path.iterdir()] == ["recommend-freeze"]


def test_the_evidence_is_drawn_where_it_is_asked_for_and_over_nobodys_picture(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "advice.png").write_text("mine")
    done = tl("recommend-freeze", "--data", folder, *FAST, "--plots", "--output", tmp_path / "mine")
    assert done.exit_code == 1
    assert "is there already" in done.stderr
    assert (tmp_path / "mine" / "advice.png").read_text() == "mine"
    assert tl("recommend-freeze", "--data", folder, "--output", tmp_path).exit_code == 2


@pytest.mark.parametrize("more", [("--size", 500, "--classes", 5), ()])
def test_what_is_not_measured_cannot_be_drawn(more):
    assert tl("recommend-freeze", *more, "--plots").exit_code == 2


def test_a_run_measures_and_its_plan_file_has_the_evidence(folder, tmp_path):
    run = tmp_path / "run"
    done = tl("train", "--data", folder, *SMALL, "--epochs", 1, "--output", run, "--verbose")
    assert done.exit_code == 0, done.stderr
    plan = json.loads((run / "plan.json").read_text())
    assert plan["policy"] == "evidence"
    assert plan["similarity_source"] == "measured"
    assert plan["evidence"]["images"] == plan["size"]
    assert f"Similarity to the pretraining data {plan['similarity']:.2f}" in done.stdout


def test_a_trial_cannot_go_with_a_plan_that_is_given(folder, tmp_path):
    done = tl(
        "train",
        "--data",
        folder,
        "--effort",
        "thorough",
        "--freeze",
        "half",
        "--output",
        tmp_path / "r",
    )
    assert done.exit_code == 1
    assert "effort thorough finds out" in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.slow  # the tour of the README runs one, and test_train.py one of a tiny network
def test_a_trial_says_what_it_tried(folder, tmp_path):
    run = tmp_path / "run"
    done = tl("train", "--data", folder, *SMALL, "--epochs", 6, *THOROUGH, "--output", run, "-v")
    assert done.exit_code == 0, done.stderr
    assert "Tried freeze ratio" in done.stderr
    assert "Tried out on validation" in (run / "plan.json").read_text()
