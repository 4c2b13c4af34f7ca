"""The documentation is true: keys that are promised are there, commands that are named exist."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

from test_cli import COLOURS, SMALL, paint, tl
from tl_cli.cli.app import app
from tl_cli.config import RunConfig
from tl_cli.engine.finetune.candidates import AGAIN, HEAD, TUNED
from tl_cli.results.training import (
    CandidateResult,
    FinetuneResult,
    FromScratchResult,
    HeadResult,
)

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "json.md").read_text()


def promised(heading: str) -> set[str]:
    """Return the keys in the first column of a section's table."""
    section = TEXT.split(f"## `{heading}`", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)[1:]
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


@pytest.fixture(scope="module")
def told(tmp_path_factory, loaded_once) -> dict[str, dict]:
    root = tmp_path_factory.mktemp("docs")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "photos" / name, seed, 12, colour)
    paint(root / "pool", 20, 4, COLOURS["red"])
    run = root / "run"
    commands = {
        "tl recommend-freeze": ("recommend-freeze", "--size", 500, "--classes", 5),
        "tl train": ("train", "--data", root / "photos", *SMALL, "--epochs", 1, "--output", run),
        "tl evaluate": ("evaluate", run),
        "tl predict": ("predict", run, root / "photos"),
        "tl export": ("export", run, "--format", "saved_model"),
        "tl inspect": ("inspect", root / "photos"),
        "tl inspect --label-errors": ("inspect", run, "--label-errors", "--output", root / "x"),
        "tl explain": ("explain", run, root / "photos", "--output", root / "why"),
        "tl embed": ("embed", run, root / "photos", "--output", root / "features.npy"),
        "tl search": ("search", run, root / "photos"),
        "tl suggest": ("suggest", run, root / "pool", "--output", root / "next.csv"),
        "tl report": ("report", run),
        "tl summarize": ("summarize", "inception"),
        "tl compare": ("compare", run, run),
        "tl runs": ("runs", root),
        "tl cache": ("cache",),
    }
    return {name: json.loads(tl(*command, "--json").stdout) for name, command in commands.items()}


@pytest.mark.parametrize(
    "command",
    [
        *("tl recommend-freeze", "tl train", "tl evaluate", "tl predict", "tl export"),
        *("tl inspect", "tl inspect --label-errors", "tl explain", "tl report"),
        *("tl embed", "tl search", "tl suggest"),
        *("tl summarize", "tl compare", "tl runs", "tl cache"),
    ],
)
def test_the_documented_keys_are_the_ones_that_are_printed(told, command):
    assert promised(command) == set(told[command])


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("head", {field.name for field in fields(HeadResult)}),
        ("tune", {field.name for field in fields(FinetuneResult)}),
        ("scratch", set(FromScratchResult(2, 1, 0.5, 0.8).to_json())),
    ],
    ids=["head", "tune", "scratch"],
)
def test_the_documented_keys_of_what_a_training_measured_are_its_fields(key, written):
    row = re.search(rf"^\| `{key}` \|.*$", TEXT, re.MULTILINE)[0]
    keys = set(re.findall(r"`([a-z_]+)`", row)) - {key, "last", "multi", "kernel"}
    assert keys == written


def test_the_candidates_of_a_tuning_are_documented():
    section = TEXT.split("The `candidates`", 1)[1].split("metrics.json", 1)[0]
    keys = set(CandidateResult(HEAD, 0.5, 0.8).to_json())
    named = {" ".join(name.split()) for name in re.findall(r"`([^`]+)`", section)}
    assert named == keys | {HEAD, TUNED, AGAIN}


def test_what_metrics_json_holds_is_documented(told):
    section = TEXT.split("metrics.json holds", 1)[1].split("\n\n", 1)[0]
    path = Path(told["tl train"]["run"]) / "metrics.json"
    assert set(re.findall(r"`(\w+)`", section)) == set(json.loads(path.read_text()))


def test_every_option_of_train_is_a_key_of_the_configuration():
    options = {p.name for p in get_command(app).commands["train"].params}
    commands_own = {
        "config",
        "set_",
        "overwrite",
        "compare_scratch",
        "compare_freeze",
        "dry_run",
        "plots",
        "json",
        "quiet",
        "resume",
        "add",
        "remove",
        "shard",
        "help_all",
        "source",
        "verbose",
    }
    assert options - commands_own == set(RunConfig.model_fields)
