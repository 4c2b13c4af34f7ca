"""What a shell offers at TAB, and how the help begins."""

import os
import re
import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from test_cli_speed import HEAVY
from tl_cli.cli.app import app
from tl_cli.cli.completion import choices_of
from tl_cli.store.run_dir import STATUS


def offered(words: str, folder=None) -> list[str]:
    """Return what is offered for the last word, which is empty after a blank."""
    code = (
        "import sys\n"
        "from tl_cli.cli.app import main\n"
        "sys.argv = ['tl']\n"
        "try:\n    main()\n"
        "finally:\n    print('MODULES', *sys.modules, file=sys.stderr)\n"
    )
    environment = {
        **os.environ,
        "_TL_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=environment
    )
    assert "Traceback" not in done.stderr
    loaded = set(done.stderr.rsplit("MODULES", 1)[1].split())
    assert not loaded & {*HEAVY, "numpy", "rich.table"}
    return done.stdout.split()


@pytest.mark.others_long(2)
@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("tl tra", ["train"]),
        ("tl train --backb", ["--backbone"]),
        ("tl train --backbone efficientnet_lite0", ["efficientnet_lite0"]),
        ("tl train --freeze ", ["auto", "head", "half", "full"]),
        ("tl blocks mobilenet_025", ["mobilenet_025"]),
    ],
)
def test_commands_options_and_values_are_offered(words, values):
    assert offered(words) == values


def test_runs_are_offered_where_a_run_is_taken(tmp_path):
    for run in ("runs/photos", "runs/photos-2", "elsewhere/old"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / STATUS).write_text("{}")
    (tmp_path / "runs" / "notes").mkdir()
    assert offered("tl evaluate ", tmp_path) == ["runs/photos", "runs/photos-2"]
    assert offered("tl train --resume elsewhere/", tmp_path) == ["elsewhere/old"]


def test_what_takes_anything_has_no_words():
    assert choices_of("effort") == ("quick", "normal", "thorough")
    assert choices_of("epochs") == choices_of("output") == ()


# -- help -----------------------------------------------------------------------------------------


def test_help_begins_with_four_lines_that_are_commands():
    alone, asked = (
        CliRunner().invoke(app, words, env={"COLUMNS": "80"}) for words in ([], ["--help"])
    )
    assert alone.exit_code == asked.exit_code == 0
    assert alone.stdout == asked.stdout
    first, rest = asked.stdout.split("\n\n", 1)
    lines = first.splitlines()
    assert [re.match(r"tl (\w+) ", line)[1] for line in lines] == [
        "inspect", "train", "evaluate", "predict",
    ]  # fmt: skip
    assert rest.startswith("Usage:")
    titles = re.findall(r"^([A-Z][\w ]+):$", rest, re.MULTILINE)
    assert titles == ["First steps", "Going further", "Looking inside", "Options"]


def test_every_command_stands_under_one_heading():
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).stdout
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", told.split("First steps:")[1], re.MULTILINE)
    assert sorted(listed) == sorted(get_command(app).commands)
