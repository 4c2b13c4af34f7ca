"""`tl suggest`: which images to label next, as a table, a contact sheet and JSON."""

import csv
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from test_cli import COLOURS, paint, said, tl
from tl_cli.data.csv_io import read_csv
from tl_cli.engine.suggest_selection import doubtful, typical
from tl_cli.report.figures import suggestions
from tl_cli.store import run_dir
from trained import trained

pytestmark = pytest.mark.usefixtures("loaded_once")


def clusters(sizes: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of unit length around a direction each, [sum(sizes), 16], and which it is."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    rows = 3 * np.eye(16)[numbers] + rng.normal(0, 0.3, (len(numbers), 16))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), numbers


# -- the choice -----------------------------------------------------------------------------------


def test_the_first_round_has_one_of_each_kind_the_most_frequent_first():
    rows, numbers = clusters((40, 5, 20))
    found = typical(rows, 3)
    assert numbers[found.chosen].tolist() == [0, 2, 1]
    assert found.alike.tolist() == [40, 20, 5]


def test_a_typical_image_lies_where_its_kind_is_dense():
    rows, _ = clusters((60,))
    odd = rows.mean(0) + 0.5 * np.eye(16)[5]
    found = typical(np.concatenate([rows, odd[None] / np.linalg.norm(odd)]), 1)
    centre = rows.mean(0) / np.linalg.norm(rows.mean(0))
    assert found.chosen[0] != 60
    assert rows[found.chosen[0]] @ centre > np.median(rows @ centre)


def test_doubtful_images_differ_from_each_other_and_are_doubtful():
    rows, numbers = clusters((50, 50, 50, 50))
    margins = np.where(numbers == 3, 0.99, 0.1) + np.linspace(0, 0.005, 200)
    found = doubtful(rows, margins, 3)
    assert sorted(numbers[found.chosen]) == [0, 1, 2]
    assert (np.diff(margins[found.chosen]) >= 0).all()
    assert len(set(found.chosen)) == 3


def test_equal_images_are_not_asked_for_twice():
    rows = np.repeat(clusters((2, 2))[0], 10, axis=0)
    for found in (typical(rows, 12), doubtful(rows, np.full(len(rows), 0.2), 12)):
        assert len(found.chosen) == len(np.unique(rows[found.chosen], axis=0)) == 4


def test_images_of_which_the_run_is_sure_are_chosen_from_too():
    rows, _ = clusters((20,))
    assert len(doubtful(rows, np.ones(20), 5).chosen) == 5


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A run on colours, and a pool: new images, one of them twice, and some that the run has."""
    root = tmp_path_factory.mktemp("suggest")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "photos" / name, seed, 15, colour)
        paint(root / "pool" / f"new{seed}", seed + 50, 6, colour)
    paint(root / "pool" / "between", 90, 6, (125, 50, 125))
    shutil.copy(root / "pool" / "new0" / "00.png", root / "pool" / "copy.png")
    for name in ("01.png", "02.png"):
        shutil.copy(root / "photos" / "red" / name, root / "pool" / name)
    os.environ["TL_CACHE"] = str(root / "cache")
    trained(root / "photos", root / "run", "--freeze", "head")
    return root


def test_the_table_the_sheet_and_the_json_agree(root, tmp_path):
    out = tmp_path / "new" / "next.csv"
    done = tl("suggest", root / "run", root / "pool", "--count", 5, "--output", out, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["pool"], told["known"], told["repeated"]) == (24, 2, 1)
    with out.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["path"] for row in table] == [each["path"] for each in told["suggestions"]]
    assert [row["rank"] for row in table] == ["1", "2", "3", "4", "5"]
    margins = [each["margin"] for each in told["suggestions"]]
    assert margins == sorted(margins)
    assert "between" in table[0]["path"]  # red or blue: what the run is most in doubt about
    assert {table[0]["best_guess"], table[0]["second_guess"]} <= set(COLOURS)
    assert table[0]["best_guess"] in table[0]["why"]
    with Image.open(told["sheet"]) as sheet:
        assert sheet.width > 4 * suggestions.SIDE
        assert len(sheet.convert("RGB").getcolors(1 << 24)) > 100
    own = {record.path for record in read_csv(root / "run" / run_dir.MANIFEST).records}
    assert not own & {row["path"] for row in table}


@pytest.mark.others_long(1)
@pytest.mark.parametrize("backbone", ["small", "efficientnet_lite0"])
def test_a_first_round_needs_no_run(root, tmp_path, backbone):
    (tmp_path / "no.jpg").write_text("no image")
    done = tl("suggest", backbone, root / "pool", tmp_path / "no.jpg", "--count", 3,
              "--image-size", 32, "--output", tmp_path / "first.csv", "--json")  # fmt: skip
    assert done.exit_code == 1, done.stderr  # of the file that is none
    told = json.loads(done.stdout)
    assert len(told["suggestions"]) == 3
    assert all("typical of" in each["why"] or "unlike" in each["why"]
               for each in told["suggestions"])  # fmt: skip
    assert {each["best_guess"] for each in told["suggestions"]} == {None}
    assert [each["reason"] for each in told["failed"]] == ["is not an image (text)"]


def test_more_than_there_are_is_all_that_there_are(root, tmp_path):
    done = tl("suggest", root / "run", root / "pool", "--output", tmp_path / "all.csv")
    assert done.exit_code == 0, done.stderr
    assert "24 images of 24; the first 10:" in done.stdout
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 25


def test_mistakes_are_one_sentence(root, tmp_path, monkeypatch):
    run, pool, out = root / "run", root / "pool", tmp_path / "x.csv"
    said(tl("suggest", "efficientnet_light0", pool), "neither a run nor a backbone", "did you mean")
    said(tl("suggest", run, pool, "--output", tmp_path / "x.txt"), "end it with .csv")
    said(tl("suggest", run, pool / "none", "--output", out), "no file or folder")
    said(tl("suggest", run, root / "photos", "--output", out), "has all of the 45 images already")
    assert tl("suggest", run, pool, "--count", 0).exit_code == 2
    (tmp_path / "x.png").write_bytes(b"mine")
    said(tl("suggest", run, pool, "--output", out), "x.png' is there already", "--overwrite")
    assert (tmp_path / "x.png").read_bytes() == b"mine"
    (tmp_path / "file").write_text("")
    said(tl("suggest", run, pool, "--output", tmp_path / "file" / "x.csv"), "cannot write")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    said(tl("suggest", run, pool, "--output", tmp_path / "y.csv"), "the disk is full")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "x.png"]
