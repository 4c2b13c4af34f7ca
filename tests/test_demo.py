"""The demo, from a shell, as the README begins."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from tl_cli.cli.app import app
from tl_cli.data.sources import samples

ROOT = Path(__file__).parent.parent


def test_its_commands_are_there():
    lines = (ROOT / "scripts" / "demo").read_text().splitlines()
    known = typer.main.get_command(app).commands
    asked = [shlex.split(line) for line in lines if line.startswith("tl ")]
    assert [words[1] for words in asked] == ["train", "evaluate"]
    for _, name, data, *words in asked:
        options = {option for param in known[name].params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= options
        assert name != "train" or data.removeprefix("sample:") in samples.SAMPLES


@pytest.mark.slow  # it tunes for a minute and a half; the README's tour trains on the same network
def test_the_demo_recognises_nearly_all_photographs(tmp_path):
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "demo", tmp_path / "things"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    table = done.stdout.rsplit("test (", 1)[1]
    accuracy = float(re.search(r"^accuracy\s+([\d.]+)", table, re.MULTILINE)[1])
    assert accuracy >= 0.9
