"""The example in docs/python.md runs as it stands, and prints what it prints and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tl_cli as tl
from conftest import picture
from test_cli import COLOURS, paint
from tl_cli.config import RunConfig

TEXT = (Path(__file__).parent.parent / "docs" / "python.md").read_text()


@pytest.mark.long
def test_the_example_runs_as_it_stands(tmp_path):
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(tmp_path / "photos" / name, seed, 12, colour, size=(8, 10))  # small: 32 px are enough
    (tmp_path / "new").mkdir()
    for i, name in enumerate(("a.jpg", "b.jpg")):
        picture(i).save(tmp_path / "new" / name)
    [code] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    accuracy, first, second, best, again = done.stdout.splitlines()
    assert re.fullmatch(r"\d+% of the test images are recognised", accuracy)
    for line in (first, second):
        assert re.fullmatch(r"(\w| |✿)+ \d+%", line)
    assert best.startswith("new/a.jpg ") and best.count("Guess(") == 2
    assert again.startswith("((")
    assert (tmp_path / "runs" / "photos" / "report.html").is_file()


def test_what_is_named_there_is_there():
    for word in re.findall(r"`tl\.(\w+)", TEXT):
        assert getattr(tl, word)
    for option in re.findall(r"`(\w+)=", TEXT.split("## The functions")[1].split("returns")[0]):
        assert option in RunConfig.model_fields
    for option in re.findall(r"(\w+)=", TEXT.split("`model.evaluate(")[1].split(")`")[0]):
        assert option in tl.Model.evaluate.__wrapped__.__annotations__
    for option in re.findall(r"(\w+)=", TEXT.split("`model.predict(")[1].split(")`")[0]):
        assert option in tl.Model.predict.__wrapped__.__annotations__
