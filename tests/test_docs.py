"""The documentation is true: keys that are promised are there, commands that are named exist."""

import json
import re
from pathlib import Path

import pytest
from test_cli import COLOURS, SMALL, paint, tl
from typer.main import get_command

from tl_cli.cli.app import app
from tl_cli.config import RunConfig

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "json.md").read_text()


def promised(heading: str) -> set[str]:
    """Return the keys in the first column of a section's table."""
    section = TEXT.split(f"## `{heading}`", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)[1:]
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, dict]:
    root = tmp_path_factory.mktemp("docs")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "photos" / name, seed, 12, colour)
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
        "tl report": ("report", run),
        "tl summarize": ("summarize", "inception"),
        "tl compare": ("compare", run, run),
    }
    return {name: json.loads(tl(*command, "--json").stdout) for name, command in commands.items()}


@pytest.mark.parametrize(
    "command",
    [
        *("tl recommend-freeze", "tl train", "tl evaluate", "tl predict", "tl export"),
        *("tl inspect", "tl inspect --label-errors", "tl explain", "tl report"),
        *("tl summarize", "tl compare"),
    ],
)
def test_the_documented_keys_are_the_ones_that_are_printed(told, command):
    assert promised(command) == set(told[command])


def test_every_option_of_train_is_a_key_of_the_configuration():
    options = {p.name for p in get_command(app).commands["train"].params}
    commands_own = {
        "config",
        "set_",
        "overwrite",
        "compare_scratch",
        "compare_freeze",
        "dry_run",
        "json",
        "quiet",
        "help_all",
    }
    assert options - commands_own == set(RunConfig.model_fields)
