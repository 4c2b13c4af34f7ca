"""Every command in the README does what it says; the numbers there are not tested here."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from test_cli import COLOURS, paint
from tl_cli.cli.app import app

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
LINES = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder as the tour expects it: photos/ and the project's configs/."""
    root = tmp_path_factory.mktemp("home")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "photos" / name, seed, 12, colour, size=(8, 10))  # small: 32 px are enough
    (root / "configs").symlink_to(ROOT / "configs")
    return root


def test_the_scripts_that_it_names_are_there():
    scripts = [line for line in LINES if line.startswith("scripts/")]
    assert scripts == ["scripts/demo", "scripts/test"]
    assert all((ROOT / line).stat().st_mode & 0o111 for line in scripts)


def test_the_screen_that_it_shows_is_that_of_the_first_five_minutes():
    screen = re.compile(r"```text\n(.*?)```", re.DOTALL)
    [shown] = screen.findall((ROOT / "README.md").read_text())
    assert shown == screen.findall((ROOT / "docs" / "first-five-minutes.md").read_text())[0]


LONG = re.compile(r"--effort thorough|--compare-freeze|--freeze half|--policy rule|--set ")
TOUR = [line for line in LINES if line.startswith("tl ")]


@pytest.mark.long
def test_the_tour(home, monkeypatch, tmp_path, stand_in):
    take_the_tour(home, monkeypatch, tmp_path)


@pytest.mark.slow
def test_the_tour_with_the_real_network(home, monkeypatch, tmp_path):
    take_the_tour(home, monkeypatch, tmp_path)


def take_the_tour(home, monkeypatch, place):
    monkeypatch.chdir(shutil.copytree(home, place / "home", symlinks=True))
    brief = [line for line in TOUR if not LONG.search(line)]
    assert len(brief) >= 24
    for line in brief:
        check(line)


@pytest.mark.slow  # half the time of the tour
@pytest.mark.parametrize("line", [line for line in TOUR if LONG.search(line)])
def test_the_longer_ways_of_training(home, monkeypatch, line):
    monkeypatch.chdir(home)
    check(line)


def check(line: str) -> None:
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, f"{line}\n{done.stderr}"
    assert done.stdout, line
