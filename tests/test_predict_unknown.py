"""`tl predict` on images that are unlike everything that a run was trained on."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from test_cli import COLOURS, paint, said, tl
from tl_cli.engine import predict
from tl_cli.engine.networks import classifier
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir
from trained import trained

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Noisy pictures of colours, some to train on and some to ask about, and stripes."""
    root = tmp_path_factory.mktemp("unknown")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "train" / name, seed, 20, colour)
        paint(root / "test" / name, seed + 10, 4, colour)
    (root / "strange").mkdir()
    for i in range(6):
        stripes = np.zeros((40, 48, 3), "uint8")
        stripes[:: i + 2] = 255
        Image.fromarray(stripes).save(root / "strange" / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(root, tmp_path_factory) -> Path:
    """A tuned run."""
    return trained(root / "train", tmp_path_factory.mktemp("runs") / "run", "--freeze", "half")


def rows(*arguments: object) -> list[dict]:
    done = tl("predict", *arguments, "--format", "jsonl")
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_strangers_are_unknown_with_their_best_guess_and_others_are_not(run, root):
    strange, known = rows(run, root / "strange"), rows(run, root / "test")
    assert [row["label"] for row in strange] == ["unknown"] * 6
    assert all(row["best_guess"] == row["top"][0]["label"] in COLOURS for row in strange)
    assert all(row["unknown_score"] > 1 for row in strange)
    kept = [row for row in known if row["label"] != "unknown"]
    assert len(kept) >= len(known) - 1
    assert all(row["label"] == row["best_guess"] for row in kept)
    assert all(0 < row["unknown_score"] <= 1 for row in kept)


def test_without_it_the_answers_are_as_before(run, root):
    told = rows(run, root / "strange", "--no-unknown")
    assert all(row["label"] == row["best_guess"] in COLOURS for row in told)
    assert {row["unknown_score"] for row in told} == {None}
    with_it = rows(run, root / "strange")
    for row, other in zip(told, with_it, strict=True):
        assert row["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_what_is_unknown_is_not_called_unsure(run, root):
    told = rows(run, root / "strange", root / "test", "--min-confidence", 1)
    assert [row["label"] for row in told[:6]] == ["unknown"] * 6
    assert {row["label"] for row in told[6:]} <= {"unsure", "unknown"}


def test_tables_counts_and_folders_have_it_too(run, root, tmp_path):
    shown = tl("predict", run, root / "strange", "--top-k", 2)
    assert shown.stdout.count("unknown: ") == 6
    assert "6 images, 6 unknown" in shown.stderr
    told = json.loads(tl("predict", run, root / "strange", "--json").stdout)
    assert (told["unknown"], told["labels"]) == (6, {"unknown": 6})
    done = tl("predict", run, root / "strange", "--sort-into", tmp_path / "sorted", "-q")
    assert done.exit_code == 0, done.stderr
    assert len(list((tmp_path / "sorted" / "unknown").iterdir())) == 6


def test_the_csv_keeps_the_best_guess_and_is_gone_on_with(run, root, tmp_path):
    out = tmp_path / "out.csv"
    arguments = ("predict", run, root / "strange", "--output", out, "--batch-size", 2, "--top-k", 2)
    assert tl(*arguments).exit_code == 0
    whole = out.read_bytes()
    told = list(csv.DictReader(io.StringIO(whole.decode())))
    assert all(row["label"] == "unknown" and row["best_guess"] in COLOURS for row in told)
    assert all(float(row["unknown_score"]) > 1 and row["label_2"] in COLOURS for row in told)
    out.write_bytes(whole[: len(whole) * 2 // 3])
    done = tl(*arguments, "--resume", "--json")
    assert done.exit_code == 0, done.stderr
    assert out.read_bytes() == whole
    assert json.loads(done.stdout)["unknown"] == 6
    out.write_bytes(whole[: len(whole) * 2 // 3])
    said(tl(*arguments, "--resume", "--no-unknown"), "--unknown")


def test_a_checkpoint_from_before_answers_and_says_why_it_cannot_tell(run, root, tmp_path):
    old = shutil.copytree(run, tmp_path / "old")
    (old / run_dir.UNKNOWN_SCORE).unlink()
    assert {row["label"] for row in rows(old, root / "strange")} <= set(COLOURS)
    said(tl("predict", old, root / "strange", "--unknown"), "cannot tell unknown images")


def test_a_damaged_score_is_one_sentence_and_can_be_left_out(run, root, tmp_path):
    damaged = shutil.copytree(run, tmp_path / "damaged")
    place = damaged / run_dir.UNKNOWN_SCORE
    place.write_bytes(place.read_bytes()[:-50])
    said(tl("predict", damaged, root / "strange"), "unknown.npz is damaged", "--no-unknown")
    assert len(rows(damaged, root / "strange", "--no-unknown")) == 6


def test_a_class_that_is_called_unknown_is_not_mistaken(run, root, monkeypatch):
    built = predict.load_checkpoint(RunDir(run))
    named = classifier.Classifier(
        built.backbone, ("a", "unknown", "b"), built.taps, built.head, built.model
    )
    assert predict.unknown_score(RunDir(run), named, None) is None
    with pytest.raises(predict.TLError, match="called 'unknown'"):
        predict.unknown_score(RunDir(run), named, wanted=True)


def test_evaluation_is_of_the_classes_alone(run):
    told = json.loads(tl("evaluate", run, "--split", "val", "--json").stdout)
    assert set(told["classes"]) == set(COLOURS)
    assert told["accuracy"] > 0.9


@pytest.mark.slow
def test_a_run_from_scratch_has_no_score(root, tmp_path):
    scratch = trained(root / "train", tmp_path / "run", "--from-scratch")
    assert not (scratch / run_dir.UNKNOWN_SCORE).exists()
    assert {row["unknown_score"] for row in rows(scratch, root / "strange")} == {None}
