"""The card beside an export: read by yaml and by the Hub's own reader, whatever names it holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from conftest import picture
from finished import finished, records
from tl_cli import export_formats
from tl_cli.report import model_card
from tl_cli.results.export import Equality, Export
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

HOSTILE = [
    "<script>alert(1)</script>",
    "[a](http://b.c) | `d` *e* _f_",
    "---\nlicense: gpl",
    "# www.x.org @you & ~~g~~",
]
CALM = ["cat", "dog"]


def export_of(classes: list[str], form: str = "onnx", **changed) -> Export:
    facts = {
        "format": form, "quantize": None, "path": "runs/x/export/model.onnx", "recipe": None,
        "card": None, "usage": None, "bytes": 5, "runtime": "onnxruntime 1.2", "image_size": 64,
        "classes": tuple(classes), "trained_in": "float32", "checked_on": "val",
        "equality": Equality(9, 1e-7, 1.0, 1e-4, None), "encoded": None, "milliseconds": {1: 2.5},
    }  # fmt: skip
    return Export(**facts | changed)


def run_of(root: Path, classes: list[str]) -> RunDir:
    picture(1).save(root / "a.png")
    return finished(root / "photos run", records([root / "a.png"], classes, 6), skill=1.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    return run_of(tmp_path_factory.mktemp("card"), CALM)


def parts(text: str) -> tuple[dict, str]:
    """Return the front matter and the body."""
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


@pytest.mark.parametrize("form", export_formats.FORMATS)
def test_the_front_matter_is_what_the_hub_asks_for(run, form):
    front, _ = parts(model_card.text(run, export_of(CALM, form)))
    assert front["pipeline_tag"] == "image-classification"
    assert front["library_name"] == export_formats.FORMATS[form].library_name
    assert front["license"] == "apache-2.0"
    assert front["base_model"] == "efficientnet_lite0"
    assert {"image-classification", form} <= set(front["tags"])


def test_the_hub_reads_the_figures(run, tmp_path):
    path = model_card.write(run, export_of(CALM), tmp_path / "model.onnx")
    assert path.name == "model.onnx.card.md"
    card = ModelCard.load(path)
    figures = model_card.run_facts.read(run).figures
    found = {r.metric_type: r.metric_value for r in card.data.eval_results}
    wanted = {"accuracy": "accuracy", "f1": "macro_f1", "log_loss": "log_loss"}
    for kind, ours in wanted.items():
        assert found[kind] == pytest.approx(figures[ours], abs=1e-5)
    [first, *_] = card.data.eval_results
    assert (first.task_type, first.dataset_name) == ("image-classification", "photos")
    assert first.dataset_split == "test"
    assert card.data.model_name == "photos run"


def test_the_body_tells_figures_with_intervals_confusions_and_preparation(run):
    figures = model_card.run_facts.read(run).figures
    _, body = parts(model_card.text(run, export_of(CALM)))
    low, high = figures["intervals"]["accuracy"]
    assert f"| Accuracy | {figures['accuracy']:.3f} | {low:.3f} to {high:.3f} |" in body
    for heading in ("Intended use", "Data", "Training", "Figures", "Limits", "How images must"):
        assert f"## {heading}" in body
    assert re.search(r"- \d+ of (cat|dog) \([\d.]+ %\) taken for (cat|dog)", body)
    assert "| cat | 6 | 6 | 6 |\n" in body
    assert "squashed to 64 x 64" in body and "2.5 ms" in body
    assert not [line for line in body.splitlines() if line != line.rstrip()]
    assert "\n\n\n" not in body and "\\n" not in body
    assert "the most\nprobable class is the same for" in body


def test_a_card_says_how_unknown_images_are_told_or_why_they_are_not(run):
    equality = Equality(9, 1e-7, 1.0, 1e-4, None, False, 2e-6, 1e-3)
    _, body = parts(model_card.text(run, export_of(CALM, unknown_threshold=1.0, equality=equality)))
    assert "`unknown_score`, is above 1 for" in body
    assert "differ by 2.0e-06 of what they are" in body
    _, body = parts(model_card.text(run, export_of(CALM, unknown_left_out="it is rounded")))
    assert "unknown_score" not in body and "it is rounded." in body
    assert "whatever it is\nshown" in body


def test_names_of_any_kind_do_nothing_but_stand_there(tmp_path):
    front, body = parts(model_card.text(run_of(tmp_path, HOSTILE), export_of(HOSTILE)))
    assert front["license"] == "apache-2.0"
    assert not re.search(r"(?<!\\)[<`]", re.sub(r"`[\w.]+`|`tl evaluate [^`]*`", "", body))
    assert not re.search(r"(?<!\\)\]\(http", body)
    for name in HOSTILE:
        assert model_card.escaped(name) in body
    rows = [line for line in body.splitlines() if line.startswith("| ")]
    widths = {len(re.split(r"(?<!\\)\|", row)) for row in rows if "script" in row or "www" in row}
    assert widths == {6, 7}  # the table of counts, and that of figures


def test_what_is_escaped_is_read_back_as_it_was():
    """As CommonMark reads it: a backslash before punctuation stands for that character."""
    for name in [*HOSTILE, "-", "1. x", "1) x", "a=b", "猫 ✿", "\x1b[31m"]:
        text = model_card.escaped(name)
        assert "\n" not in text and "\x1b" not in text
        assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text) == model_card.printable(name)


def test_weights_of_the_users_own_have_no_licence_that_is_known(tmp_path):
    run = run_of(tmp_path, CALM)
    config = (run / run_dir.CONFIG).read_text()
    run.write_text(run_dir.CONFIG, config.replace("weights: auto", "weights: mine.weights.h5"))
    front, body = parts(model_card.text(run, export_of(CALM)))
    assert "license" not in front
    assert "weights of the user's own" in body
    plan = json.loads((run / run_dir.PLAN).read_text())
    run.write_json(run_dir.PLAN, plan | {"strategy": "scratch"})
    front, body = parts(model_card.text(run, export_of(CALM)))
    assert not {"license", "base_model"} & set(front)
    assert "from random weights" in body


def test_a_checkpoint_without_its_run_has_a_card_without_figures(tmp_path):
    front, body = parts(model_card.text(RunDir(tmp_path), export_of(CALM, quantize="int8")))
    assert "model-index" not in front
    assert "int8" in front["tags"]
    assert "has no figures" in body and "- cat" in body
