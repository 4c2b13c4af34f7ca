"""What `tl train` prints where nothing else is asked for: one screen, and its last word."""

import re
from pathlib import Path

import pytest

from test_cli import COLOURS, SMALL, paint, tl


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("home")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "photos" / name, seed, 12, colour)
    (root / "photos" / "red" / "empty.jpg").touch()
    return root


def test_a_training_fits_on_one_screen_and_ends_in_what_to_type_next(home, monkeypatch, stand_in):
    monkeypatch.chdir(home)
    done = tl("train", "photos", "--effort", "quick", "--image-size", 32)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 22
    assert not re.search(r"[ \t]$", done.stdout, re.MULTILINE)
    assert done.stderr == ""
    starts = (
        "photos: 36 images in 3 classes",
        "  ! 1 file cannot be used",
        "Plan: ",
        "  - ",
        "✔ Recognises ",
        "  Model   runs/photos/model.keras",
        "  Report  file://",
        "  Next    tl predict runs/photos photos/",
        "          tl evaluate runs/photos",
    )
    places = [next(i for i, line in enumerate(lines) if line.startswith(s)) for s in starts]
    assert places == sorted(places)
    for detail in ("Evidence", "Saved:", "log loss", "cross-validated"):
        assert detail not in done.stdout
    image = re.search(r"tl predict runs/photos (\S+|'[^']+')$", done.stdout, re.MULTILINE)[1]
    assert Path(image.strip("'")).is_file()


@pytest.mark.long
def test_quiet_prints_the_result_alone(home, monkeypatch):
    monkeypatch.chdir(home)
    done = tl("train", "photos", "--effort", "quick", *SMALL, "--output", "runs/q", "-q")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    assert re.fullmatch(r"[✔✘] Recognises .*\n", done.stdout)


@pytest.mark.parametrize("command", ["train", "recommend-freeze"])
def test_the_data_are_given_once(home, monkeypatch, command):
    monkeypatch.chdir(home)
    done = tl(command, "photos", "--data", "other")
    assert done.exit_code == 2
    assert "given twice" in done.stderr
